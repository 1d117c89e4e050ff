"""What is taken for the address of a server."""

import pytest

from perdure.addresses import server_address


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("perdure.example:50051", "perdure.example:50051"),
        ("localhost", "localhost:7400"),
        ("[::1]", "[::1]:7400"),
        ("[::1]:1", "[::1]:1"),
        ("dns:///perdure", "dns:///perdure"),
        ("unix:/run/perdure.sock", "unix:/run/perdure.sock"),
    ],
)
def test_a_port_may_be_left_out(written: str, meant: str) -> None:
    assert server_address(written) == meant


@pytest.mark.parametrize(
    "written", ["", "http://localhost:7400", "::1", "localhost:", "localhost:0", "localhost:65536", "a b", "x:port"]
)
def test_what_is_no_address_is_refused_with_one_that_is(written: str) -> None:
    with pytest.raises(ValueError, match=r"say HOST:PORT, such as 127\.0\.0\.1:7400"):
        server_address(written)
