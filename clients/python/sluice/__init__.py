"""Client and worker for Sluice, an engine for asynchronous work.

    async with sluice.Client() as client:
        job = await client.push("email.send", {"to": "a@example.org"})
        result = await client.wait(job)

    worker = sluice.Worker(queues=["mail"])

    @worker.task("email.send")
    async def send(to: str) -> dict:
        ...

    if __name__ == "__main__":
        worker.main()

Standard library only, Python 3.9 and later.
"""
from .client import Client, Job, NewJob
from .errors import ApiError, ConnectionFailed, Final, JobFailed, SluiceError
from .task import Task, current_task
from .worker import Worker

__all__ = ["ApiError", "Client", "ConnectionFailed", "Final", "Job", "JobFailed", "NewJob",
           "SluiceError", "Task", "Worker", "current_task"]
