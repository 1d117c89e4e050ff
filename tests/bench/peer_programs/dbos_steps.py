"""Workflows of ten trivial steps on DBOS: `dbos_steps.py URL THREADS SECONDS` prints how many steps a second were done."""

import sys
import threading
import time

from dbos import DBOS

STEPS = 10


@DBOS.step()
def step(number: int) -> dict[str, int]:
    return {"number": number + 1}


@DBOS.workflow()
def workflow() -> int:
    number = 0
    for _ in range(STEPS):
        number = step(number)["number"]
    return number


def main(url: str, threads: int, seconds: float) -> None:
    DBOS(config={"name": "bench", "system_database_url": url, "log_level": "ERROR", "console_log_level": "ERROR"})
    DBOS.launch()
    workflow()
    done: list[float] = []
    end = time.perf_counter() + seconds

    def work() -> None:
        while time.perf_counter() < end:
            assert workflow() == STEPS
            done.append(time.perf_counter())

    begun = time.perf_counter()
    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(STEPS * len(done) / (time.perf_counter() - begun), flush=True)
    DBOS.destroy()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
