"""Agents: a language model with tools, each of whose model requests and tool calls is a unit of the run's log.

What knows pydantic-ai is loaded only when an agent begins, for its import takes a second: `agent_loop`, `durability`,
`models`, `toolset` and `offline`. The rest is plain and light.
"""
