"""Graphs of ten trivial nodes on LangGraph, each checkpoint stored before the next node begins (`durability="sync"`):
`langgraph_steps.py URL CONCURRENCY SECONDS` prints how many nodes a second were done. A saver does one call at a time, so
each task has one of its own."""

import asyncio
import sys
import time
import uuid
from contextlib import AsyncExitStack
from typing import Any, TypedDict

import uvloop
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START, StateGraph

STEPS = 10


class State(TypedDict):
    number: int


async def node(state: State) -> dict[str, int]:
    return {"number": state["number"] + 1}


def graph(saver: Any) -> Any:
    built = StateGraph(State)
    names = [f"n{number}" for number in range(STEPS)]
    for name in names:
        built.add_node(name, node)
    for source, to in zip([START, *names], [*names, END], strict=True):
        built.add_edge(source, to)
    return built.compile(checkpointer=saver)


async def main(url: str, concurrency: int, seconds: float) -> None:
    async with AsyncExitStack() as stack:
        savers = [await stack.enter_async_context(AsyncPostgresSaver.from_conn_string(url)) for _ in range(concurrency)]
        await savers[0].setup()
        graphs = [graph(saver) for saver in savers]
        done = 0

        async def work(own: Any, end: float) -> None:
            nonlocal done
            while time.perf_counter() < end:
                thread = {"configurable": {"thread_id": uuid.uuid4().hex}}
                assert (await own.ainvoke({"number": 0}, thread, durability="sync"))["number"] == STEPS
                done += 1

        await work(graphs[0], time.perf_counter())
        done, begun = 0, time.perf_counter()
        await asyncio.gather(*(work(own, begun + seconds) for own in graphs))
        print(STEPS * done / (time.perf_counter() - begun), flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
