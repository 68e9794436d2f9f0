"""Counts words, with the package of clients/python: the same file leases jobs over HTTP when it is
started by hand."""
import collections

import sluice

worker = sluice.Worker()


@worker.task("words.count")
def count(text: str, top: int = 3) -> dict:
    words = collections.Counter(text.lower().split())
    return {"words": sum(words.values()), "most": dict(words.most_common(top))}


if __name__ == "__main__":
    worker.main()
