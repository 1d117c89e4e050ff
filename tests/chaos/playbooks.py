"""What is run under load: every kind of step that a kill may land in.

Guarded commands write into the ledger, outside of everything, before they do anything else: the witness of launches.
"""

import pathlib
from typing import Final

_LAUNCH: Final = (
    r"""printf '{"key":"%s","node":"%s","run":"%s"}\n' "$PERDURE_IDEMPOTENCY_KEY" "$PERDURE_NODE" "$PERDURE_RUN_ID" """
    r""">> "$LEDGER"; """
)

_RELEASE: Final = """
playbook_id: release
version: 1.0.0
title: A release
objective: Check, ask, publish, tell
nodes:
  - {id: prepare, type: function, function: wait, effect: none, inputs: {seconds: 0.1}}
  - {id: check, type: deterministic, command: "echo begun; sleep 0.2; echo checked", shell: true, effect: none}
  - id: gate
    type: approval
    prompt: "publish?"
    subject: {checked: "{{ nodes.check.stdout }}"}
    on_failure: {inject_into: prepare, max_iterations: 6}
  - {id: publish, type: deterministic, shell: true, command: 'LAUNCH sleep 0.9', env: {LEDGER: "LEDGER_FILE"},
     effect: at_most_once}
  - {id: tell, type: deterministic, command: "sleep 0.1; echo told", shell: true, effect: idempotent}
  - {id: sign, type: deterministic, shell: true, command: 'LAUNCH echo signed; sleep 0.7',
     env: {LEDGER: "LEDGER_FILE"}, effect: at_most_once}
"""

_STUBBORN: Final = """
playbook_id: stubborn
version: 1.0.0
title: Work that fails
objective: Fail, try again, go back, take too long
nodes:
  - {id: compute, type: function, function: compute, effect: idempotent}
  - id: luck
    type: function
    function: try_luck
    effect: none
    inputs: {chance: 0.4}
    on_failure: {max_iterations: 8}
    retry: {initial_seconds: 0.1, maximum_seconds: 0.3}
  - id: slow
    type: deterministic
    shell: true
    command: 'test "$PERDURE_ATTEMPT" -gt 1 || sleep 30'
    effect: none
    timeout_ms: 300
    on_failure: {max_iterations: 5}
  - id: verify
    type: function
    function: try_luck
    effect: none
    inputs: {chance: 0.3}
    on_failure: {inject_into: compute, max_iterations: 6}
  - {id: write, type: deterministic, shell: true, command: 'LAUNCH sleep 0.6', env: {LEDGER: "LEDGER_FILE"},
     effect: at_most_once}
"""

_DOUBTFUL: Final = """
playbook_id: doubtful
version: 1.0.0
title: Effects that end badly
objective: Leave effects in doubt without anybody's death, and fail others
nodes:
  - {id: ask, type: deterministic, command: "sleep 0.05", shell: true, effect: none}
  - id: pay
    type: deterministic
    shell: true
    command: 'LAUNCH sleep 0.3; test $(($(date +%N | cut -c 1-2 | sed s/^0//) % 3)) != 0 || sleep 30'
    env: {LEDGER: "LEDGER_FILE"}
    effect: at_most_once
    timeout_ms: 1200
  - id: book
    type: deterministic
    shell: true
    command: 'LAUNCH sleep 0.3; test $(($(date +%N | cut -c 1-2 | sed s/^0//) % 3)) != 0'
    env: {LEDGER: "LEDGER_FILE"}
    effect: at_most_once
    on_failure: {max_iterations: 2}
  - {id: thank, type: function, function: wait, effect: idempotent, inputs: {seconds: 0.05}}
"""

_BRANCHES: Final = """
playbook_id: branches
version: 1.0.0
title: Branches
objective: Do several things at once, some of them once, and go back over all of them
nodes:
  - {id: begin, type: function, function: wait, effect: none, inputs: {seconds: 0.05}}
  - {id: ship, type: deterministic, shell: true, command: 'LAUNCH sleep 0.5', env: {LEDGER: "LEDGER_FILE"},
     effect: at_most_once, depends: [begin]}
  - {id: bill, type: deterministic, shell: true, command: 'LAUNCH sleep 0.7', env: {LEDGER: "LEDGER_FILE"},
     effect: at_most_once, depends: [begin]}
  - {id: ask, type: approval, prompt: "all well?", depends: [begin]}
  - {id: think, type: function, function: compute, effect: idempotent, depends: [begin]}
  - {id: meet, type: function, function: try_luck, effect: none, inputs: {chance: 0.6},
     depends: [ship, bill, ask, think], on_failure: {inject_into: begin, max_iterations: 4}}
  - {id: some, type: deterministic, shell: true, command: 'LAUNCH sleep 0.3', env: {LEDGER: "LEDGER_FILE"},
     effect: at_most_once}
  - {id: none, type: function, function: wait, effect: none, inputs: {seconds: 0.1}}
  - {id: end, type: function, function: wait, effect: none, inputs: {seconds: 0.05}, depends: [some, none]}
edges:
  - {from: meet, to: some, when: "last_approval.decision == 'approved'"}
  - {from: meet, to: none}
"""

_CREW: Final = """
playbook_id: crew
version: 1.0.0
title: A crew
objective: Do what another playbook has it do
nodes:
  - {id: begin, type: function, function: wait, effect: none, inputs: {seconds: 0.05}}
  - {id: deliver, type: deterministic, shell: true, command: 'LAUNCH sleep 0.5', env: {LEDGER: "LEDGER_FILE"},
     effect: at_most_once}
  - {id: report, type: function, function: try_luck, effect: none, inputs: {chance: 0.3},
     on_failure: {max_iterations: 3}}
"""

_FOREMAN: Final = """
playbook_id: foreman
version: 1.0.0
title: A foreman
objective: Do the same for several things, have a crew work, wait, and back off before another attempt
concurrency: {key: site, limit: 4}
nodes:
  - id: each
    type: map
    items: "['north', 'east', 'south', 'west']"
    max_parallel: 2
    on_item_failure: continue
    tolerated_failures: 2
    node: {type: deterministic, shell: true, command: 'LAUNCH sleep 0.4; echo {{ item }}', env: {LEDGER: "LEDGER_FILE"},
           effect: at_most_once}
  - {id: crew, type: playbook, playbook_id: crew, version: 1.0.0, on_failure: {max_iterations: 2}}
  - {id: rest, type: wait, duration_seconds: 0.3, depends: [each]}
  - {id: luck, type: function, function: try_luck, effect: none, inputs: {chance: 0.3}, depends: [rest],
     on_failure: {max_iterations: 4}, retry: {initial_seconds: 5}}
  - {id: end, type: function, function: wait, effect: none, inputs: {seconds: 0.05}, depends: [crew, luck]}
"""

_QUICK: Final = """
playbook_id: quick
version: 1.0.0
title: Many small steps
objective: Keep the journal busy
nodes:
""" + "".join(
    f"  - {{id: step-{number}, type: function, function: wait, effect: {'none' if number % 2 else 'idempotent'}, "
    "inputs: {seconds: 0.02}}\n"
    for number in range(12)
)


def manifests(ledger: pathlib.Path) -> list[str]:
    """The playbooks, their guarded commands writing into this ledger."""
    return [
        text.replace("LAUNCH ", _LAUNCH.replace("'", "''")).replace("LEDGER_FILE", str(ledger))
        for text in (_RELEASE, _STUBBORN, _DOUBTFUL, _BRANCHES, _CREW, _FOREMAN, _QUICK)
    ]
