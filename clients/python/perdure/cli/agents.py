"""`perdure agents`."""

from perdure.cli import names
from perdure.cli.connection import connected
from perdure.cli.lazy import noun
from perdure.cli.lists import DEFAULT_LIMIT, list_items, page_size
from perdure.cli.options import AgentName, Limit, OfSession, Output
from perdure.cli.printing.formats import Format, print_one
from perdure.client import Client, pages
from perdure.v1.agents_pb2 import GetAgentRequest, ListAgentsRequest

app = noun("Agents: the identities that work in sessions, at the root or spawned by a run.")


@app.command()
@connected
async def get(perdure: Client, agent: AgentName, output: Output = Format.TABLE) -> None:
    """Show an agent: its session, and which run spawned it."""
    print_one(await perdure.agents.GetAgent(GetAgentRequest(name=names.agent(agent))), output)


@app.command("list")
@connected
async def list_agents(
    perdure: Client, session_id: OfSession = None, limit: Limit = DEFAULT_LIMIT, output: Output = Format.TABLE
) -> None:
    """List agents, and which run spawned each."""
    session = names.session(session_id) if session_id is not None else ""
    request = ListAgentsRequest(session=session, page_size=page_size(limit))
    await list_items(pages(perdure.agents.ListAgents, request), lambda page: page.agents, limit, output)
