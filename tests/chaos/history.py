"""What the clients of a chaos run saw, and the checkers that judge it.

The history is what producers, workers and observers wrote down with the times before and after each call on
one monotonic clock. The final state is every job the engine has at the end. `judge` compares the two and
returns a list of (name, complaint): an empty complaint is a check that passed.

The checkers are those of Jepsen's total-queue and a fence checker:

  lost         accepted, and not in the engine at the end
  unexpected   in the engine, and nobody asked for it
  duplicated   one request that became two jobs
  torn batch   a batch of which some jobs are there and some are not
  unfinished   a job that reached no final state although the faults had stopped
  silent end   a job that was given up without the losses or failures that allow it
  fences       a lease with a fence that is not above those given before it
  twice        more than one accepted completion of one job
  stale        a completion accepted after a newer lease had been seen
  resurrected  a job leased, or seen unfinished, after its completion was answered
  wrong end    a job whose result is not that of the accepted completion, or a cancelled job that ended otherwise
  early        a delayed job that started before its time
  counts       the engine's counters against a recount
"""
import collections

FINAL = ("completed", "cancelled", "discarded")
MAX_SHOWN = 5

Fetch = collections.namedtuple("Fetch", "id fence began ended")
Ack = collections.namedtuple("Ack", "id fence began ended outcome")  # "ok", "refused", "unknown"
Seen = collections.namedtuple("Seen", "id state began ended")
Cancel = collections.namedtuple("Cancel", "id began ended outcome")


class History:
    """Filled by many threads: each append is atomic, nothing is changed afterwards."""

    def __init__(self):
        self.attempted = {}  # token -> batch number, or None
        self.accepted = {}   # token -> job id
        self.fetches = []
        self.acks = []
        self.seen = []
        self.cancels = []
        self.missing = []    # accepted jobs that a GET did not find


def by_id(records):
    groups = collections.defaultdict(list)
    for record in records:
        groups[record.id].append(record)
    return groups


def token_of(job):
    return job.get("meta", {}).get("t")


def complain(found, what):
    """The first few of what was found, as one line; empty when there is nothing."""
    found = list(found)
    if not found:
        return ""
    shown = ", ".join(str(item) for item in found[:MAX_SHOWN])
    return f"{len(found)} {what}: {shown}{' …' if len(found) > MAX_SHOWN else ''}"


def check_queue(history, jobs):
    tokens = collections.Counter(token_of(job) for job in jobs)
    lost = [token for token in history.accepted if token not in tokens]
    unexpected = [token for token in tokens if token not in history.attempted]
    duplicated = [token for token, n in tokens.items() if n > 1]
    batches = collections.defaultdict(set)
    for token, batch in history.attempted.items():
        if batch is not None:
            batches[batch].add(token in tokens)
    torn = [batch for batch, present in batches.items() if len(present) == 2]
    yield "no accepted job is lost", complain(lost + sorted(set(history.missing)), "lost")
    yield "no job appears that nobody pushed", complain(unexpected, "unexpected")
    yield "no push became two jobs", complain(duplicated, "duplicated")
    yield "batches are all or nothing", complain(torn, "torn batches")


def explains_its_end(job):
    if job["state"] != "discarded":
        return True
    if job.get("reason") == "worker_lost":
        return job.get("lost", 0) >= 3
    return job.get("reason") in ("retries_exhausted", "not_retryable") and len(job.get("errors", [])) > 0


def check_ends(history, jobs):
    unfinished = [f"{job['id']} {job['state']}" for job in jobs if job["state"] not in FINAL]
    silent = [f"{job['id']} {job.get('reason')}" for job in jobs if not explains_its_end(job)]
    early = [job["id"] for job in jobs
             if job.get("scheduled_at") and job.get("started_at") and stamp(job["started_at"]) < stamp(job["scheduled_at"])]
    yield "every job reaches an end", complain(unfinished, "unfinished")
    yield "no job ends without a reason", complain(silent, "silent ends")
    yield "no delayed job starts early", complain(early, "early")


def stamp(text):
    """A time of ours as text that sorts: with milliseconds."""
    return text if "." in text else text[:-1] + ".000Z"


def check_fences(history):
    not_rising, again = [], []
    for job_id, fetches in by_id(history.fetches).items():
        if len({fetch.fence for fetch in fetches}) < len(fetches):
            again.append(job_id)
        fetches.sort(key=lambda fetch: fetch.fence)
        latest_began = 0
        for fetch in fetches:  # of a lower fence, but asked for after a higher one had been given?
            if fetch.ended < latest_began:
                not_rising.append(job_id)
            latest_began = max(latest_began, fetch.began)
    yield "each lease has a fence of its own", complain(again, "fences given twice")
    yield "fences rise", complain(not_rising, "fences that fell")


def check_completions(history):
    fetches, twice, stale, raised = by_id(history.fetches), [], [], []
    seen = by_id(history.seen)
    for job_id, acks in by_id(history.acks).items():
        accepted = [ack for ack in acks if ack.outcome == "ok"]
        if len(accepted) > 1:
            twice.append(job_id)
        for ack in accepted:
            if any(fetch.fence > ack.fence and fetch.ended < ack.began for fetch in fetches[job_id]):
                stale.append(job_id)
            if any(fetch.began > ack.ended for fetch in fetches[job_id]):
                raised.append(job_id)
            if any(look.began > ack.ended and look.state != "completed" for look in seen[job_id]):
                raised.append(job_id)
    yield "no job is completed twice", complain(twice, "completed twice")
    yield "no stale completion is accepted", complain(stale, "stale")
    yield "no completed job comes back", complain(raised, "resurrected")


def check_final_states(history, jobs):
    state, wrong = {job["id"]: job for job in jobs}, []
    for ack in history.acks:
        job = state.get(ack.id)
        if ack.outcome == "ok" and (not job or job["state"] != "completed" or job.get("result") != {"fence": ack.fence}):
            wrong.append(ack.id)
    for cancel in history.cancels:
        if cancel.outcome == "ok" and state.get(cancel.id, {}).get("state") != "cancelled":
            wrong.append(cancel.id)
    for look in history.seen:
        if look.state in FINAL and state.get(look.id, {}).get("state") != look.state:
            wrong.append(look.id)
    yield "what was answered is what stands", complain(wrong, "wrong ends")


def check_counts(jobs, queues):
    wrong = []
    recount = collections.Counter((job["queue"], job["state"]) for job in jobs)
    for queue in queues:
        states = {state: n for (name, state), n in recount.items() if name == queue["name"]}
        for state in FINAL + ("available", "active", "scheduled", "retryable", "pending"):
            if queue[state] != states.get(state, 0):
                wrong.append(f"{queue['name']} {state} {queue[state]} != {states.get(state, 0)}")
        if queue["pushed"] != sum(states.values()):
            wrong.append(f"{queue['name']} pushed {queue['pushed']} != {sum(states.values())}")
    yield "counters equal a recount", complain(wrong, "wrong counts")


def judge(history, jobs, queues):
    checks = [check_queue(history, jobs), check_ends(history, jobs), check_fences(history), check_completions(history),
              check_final_states(history, jobs), check_counts(jobs, queues)]
    return [result for check in checks for result in check]


# ---- do the checkers bite? -----------------------------------------------------------------------------------

def good_history():
    """A small sound history: three jobs, of which b was leased twice and c cancelled."""
    history = History()
    history.attempted = {"a": None, "b": 1, "c": 1}
    history.accepted = {"a": "A", "b": "B", "c": "C"}
    history.fetches = [Fetch("A", 1, 0, 1), Fetch("B", 1, 0, 1), Fetch("B", 2, 5, 6)]
    history.acks = [Ack("A", 1, 2, 3, "ok"), Ack("B", 1, 7, 8, "refused"), Ack("B", 2, 9, 10, "ok")]
    history.cancels = [Cancel("C", 4, 5, "ok")]
    jobs = [{"id": "A", "queue": "q", "state": "completed", "meta": {"t": "a"}, "result": {"fence": 1}},
            {"id": "B", "queue": "q", "state": "completed", "meta": {"t": "b"}, "result": {"fence": 2}},
            {"id": "C", "queue": "q", "state": "cancelled", "meta": {"t": "c"}}]
    queues = [{"name": "q", "completed": 2, "cancelled": 1, "discarded": 0, "available": 0, "active": 0,
               "scheduled": 0, "retryable": 0, "pending": 0, "pushed": 3}]
    return history, jobs, queues


def spoil_lost(history, jobs, queues):
    del jobs[0]


def spoil_missing(history, jobs, queues):
    history.missing.append("a")


def spoil_unexpected(history, jobs, queues):
    del history.attempted["a"]


def spoil_duplicated(history, jobs, queues):
    jobs.append(dict(jobs[0], id="A2"))


def spoil_torn(history, jobs, queues):
    del jobs[2], history.accepted["c"], history.cancels[0]
    queues[0].update(cancelled=0, pushed=2)


def spoil_unfinished(history, jobs, queues):
    jobs[2]["state"] = "active"


def spoil_silent(history, jobs, queues):
    jobs[2].update(state="discarded", reason="worker_lost", lost=1)


def spoil_early(history, jobs, queues):
    jobs[0].update(scheduled_at="2026-01-01T00:00:01Z", started_at="2026-01-01T00:00:00.999Z")


def spoil_fence_again(history, jobs, queues):
    history.fetches.append(Fetch("B", 2, 7, 8))


def spoil_fence_falls(history, jobs, queues):
    history.fetches[2] = Fetch("B", 0, 5, 6)


def spoil_twice(history, jobs, queues):
    history.acks[1] = Ack("B", 1, 2, 3, "ok")


def spoil_stale(history, jobs, queues):
    history.acks[1:] = [Ack("B", 1, 7, 8, "ok")]


def spoil_resurrected(history, jobs, queues):
    history.fetches.append(Fetch("A", 2, 4, 5))


def spoil_unfinished_again(history, jobs, queues):
    history.seen.append(Seen("A", "available", 4, 5))


def spoil_result(history, jobs, queues):
    jobs[1]["result"] = {"fence": 1}


def spoil_cancel(history, jobs, queues):
    jobs[2]["state"] = "completed"


def spoil_counts(history, jobs, queues):
    queues[0]["completed"] = 3


SPOILS = {
    spoil_lost: "no accepted job is lost",
    spoil_missing: "no accepted job is lost",
    spoil_unexpected: "no job appears that nobody pushed",
    spoil_duplicated: "no push became two jobs",
    spoil_torn: "batches are all or nothing",
    spoil_unfinished: "every job reaches an end",
    spoil_silent: "no job ends without a reason",
    spoil_early: "no delayed job starts early",
    spoil_fence_again: "each lease has a fence of its own",
    spoil_fence_falls: "fences rise",
    spoil_twice: "no job is completed twice",
    spoil_stale: "no stale completion is accepted",
    spoil_resurrected: "no completed job comes back",
    spoil_unfinished_again: "no completed job comes back",
    spoil_result: "what was answered is what stands",
    spoil_cancel: "what was answered is what stands",
    spoil_counts: "counters equal a recount",
}


def selftest():
    """Judge a sound history and spoiled ones: (name, complaint) for each."""
    results = [("a sound history passes", "; ".join(what for _, what in judge(*good_history()) if what))]
    for spoil, name in SPOILS.items():
        history, jobs, queues = good_history()
        spoil(history, jobs, queues)
        red = {check for check, what in judge(history, jobs, queues) if what}
        results.append((f"{spoil.__name__} is caught", "" if name in red else f"red were only {sorted(red)}"))
    return results
