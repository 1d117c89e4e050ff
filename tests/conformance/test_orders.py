"""Pages come in the order of bytes on every store, whatever language its database was made for."""

from typing import Any

from sqlalchemy import text

from tests.conformance.stores import ON_POSTGRES

IDS = ("a", "B", "_", "-", ".", "b", "A", "Z", "ab", "a-b", "aB", "1", "10", "9")
NOT_BYTE_BY_BYTE = """
    SELECT attrelid::regclass || '.' || attname FROM pg_attribute
    JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'alembic_version'
        AND attnum > 0 AND NOT attisdropped AND attcollation NOT IN (0, (SELECT oid FROM pg_collation WHERE collname = 'C'))
"""


async def test_pages_of_ids_are_in_the_order_of_their_bytes(house: Any, manifests: Any) -> None:
    for each in IDS:
        await house.published(manifests["line"].replace("playbook_id: line", f'playbook_id: "{each}"'))

    pages: list[list[str]] = [[""]]
    while pages[-1]:
        page = await house.store.read(lambda tx, after=pages[-1][-1]: tx.playbooks.page(after, 3))
        pages.append([playbook.playbook_id for playbook in page])

    assert [each for page in pages[1:] for each in page] == sorted(IDS, key=str.encode)


@ON_POSTGRES
async def test_no_text_is_compared_as_a_language_would_have_it(house: Any) -> None:
    assert await house.execute(text(NOT_BYTE_BY_BYTE)) == []
