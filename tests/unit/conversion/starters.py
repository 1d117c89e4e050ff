"""Playbooks as other systems have them, written for these tests."""

RCASD = """
version: "1.0"
name: rcasd
description: From a question to tasks, in five steps.
inputs:
  - {name: topic, required: true, description: What it is about}
nodes:
  - id: research
    type: agentic
    skill: researcher
    role: lead
    inputs: {topic: "{{inputs.topic}}"}
    on_failure: {max_iterations: 2}
  - id: consensus
    type: agentic
    skill: moderator
    requires: {from: research, fields: [findings]}
    on_failure: {max_iterations: 2}
  - {id: architecture, type: agentic, skill: architect, on_failure: {max_iterations: 2}}
  - {id: specification, type: agentic, skill: writer, on_failure: {max_iterations: 2}}
  - {id: decomposition, type: agentic, agent: planner, role: orchestrator, on_failure: {max_iterations: 2, escalate: true}}
edges:
  - {from: research, to: consensus, contract: {ensures: [findings], requires: [topic]}}
  - {from: consensus, to: architecture}
  - {from: architecture, to: specification}
  - {from: specification, to: decomposition}
error_handlers:
  - {on: agentic_timeout, action: inject_hint, message: Be brief}
  - {on: iteration_cap_exceeded, action: hitl_escalate, message: Somebody must look}
"""

IVTR = """
version: "1.0"
name: ivtr
description: Implement, then validate and test, going back when it is not right.
inputs:
  - {name: task, required: true}
  - {name: depth, default: 2}
nodes:
  - id: implement
    type: agentic
    skill: implementer
    inputs: {task: "{{inputs.task}}", depth: "{{inputs.depth}}"}
    on_failure: {max_iterations: 3}
  - id: validate
    type: agentic
    skill: validator
    depends: [implement]
    on_failure: {max_iterations: 2, inject_into: implement}
  - id: test
    type: deterministic
    command: "true"
    depends: [validate]
    ensures: {exitCode: 0}
    on_failure: {max_iterations: 2, inject_into: implement}
error_handlers:
  - {on: contract_violation, action: abort, message: A contract was broken}
"""

RELEASE = """
version: "1.0"
name: release
description: Bump, write the changelog, ask, publish.
inputs:
  - {name: version, required: true}
nodes:
  - id: bump
    type: deterministic
    command: sh
    args: ["-c", "echo {{inputs.version}} > VERSION"]
    ensures: {outputFiles: [VERSION]}
  - {id: changelog, type: agentic, skill: historian}
  - {id: approve, type: approval, prompt: "Release {{inputs.version}}?", policy: conservative}
  - {id: publish, type: deterministic, command: cp, args: [VERSION, PUBLISHED], on_failure: {max_iterations: 1}}
edges:
  - {from: bump, to: changelog}
  - {from: changelog, to: approve}
  - {from: approve, to: publish}
"""

REVIEWED = """
version: v1
agent:
  name: writer
  system_prompt: You write.
  model: {provider: dummy, name: none}
  strategy: {type: react, max_iterations: 4}
  tools: {include: [read_file, web_search]}
  policies: {tool: {allow: [read_file, web_search], network: false}}
  guardrails: [no_secrets]
workflow:
  type: sequential
  name: reviewed draft
  steps:
    - {id: draft, kind: agent, ref: writer, max_retries: 1, timeout_seconds: 30, on_error: fallback, fallback_ref: canned}
    - {id: count, kind: function, ref: words, on_error: continue}
    - {id: check, kind: human, ref: editor}
    - {id: ship, kind: workflow, ref: shipping}
components:
  functions:
    words: {implementation: "tools:words"}
    canned: {implementation: "tools:canned"}
  humans:
    editor:
      description: Is it good?
      assignee: ada
      timeout_seconds: 60
      on_timeout: continue
      request_type: selection
      options: [a, "b, later"]
      default_option: b, later
"""

NESTED = """
version: v1
agent: {name: writer, system_prompt: You write.}
workflow:
  type: sequential
  name: board
  steps:
    - {id: draft, kind: workflow, ref: drafting, timeout_seconds: 60, max_retries: 1}
    - {id: approve, kind: human, ref: reviewer}
    - {id: publish, kind: function, ref: words}
components:
  workflows:
    drafting:
      type: sequential
      steps:
        - {id: outline, kind: function, ref: words}
        - {id: look, kind: workflow, ref: looking}
    looking:
      type: concurrent
      participants:
        - {id: one, kind: agent, ref: writer}
        - {id: other, kind: function, ref: words}
  functions:
    words: {implementation: "tools:words"}
  humans:
    reviewer: {description: Is it good?}
"""
