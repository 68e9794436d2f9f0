"""Fibers for gdb: who is there, what each waits for, and where it stands.

    (gdb) source tools/gdb/fibers.py
    (gdb) fibers                  the tree of every loop
    (gdb) fiber 17 bt             any command on the stack of fiber 17 (bt when none is given)

Works on a running process and on a core. A fiber that is not running keeps its stack pointer, frame pointer and resume
address in its first three fields (rt/switch_int.h); the command puts them into the registers, runs, and puts back what
was there. Of a core the registers cannot be set: there the frames are walked by their frame pointers.
"""
import gdb

STATES = {0: "free", 1: "ready", 2: "running", 3: "parked"}


def text(value, default="?"):
    try:
        return value.string() if int(value) else default
    except gdb.error:
        return default


def loops():
    runtime = gdb.parse_and_eval("rt_runtime")
    if int(runtime) == 0:
        raise gdb.GdbError("no runtime is running")
    return [runtime["loops"][i].dereference() for i in range(int(runtime["n_loops"]))]


def linked(pointer, field):
    seen = 0
    while int(pointer) and seen < 10_000_000:
        yield pointer.dereference()
        pointer = pointer[field]
        seen += 1


def children(nursery):
    return linked(nursery["children"], "child_next")


def nurseries(fiber):
    return linked(fiber["nurseries"], "outer_nursery")


def all_fibers():
    """(fiber, loop) for every fiber, parents before children."""
    for loop in loops():
        waiting = list(children(loop["root"].dereference()))
        while waiting:
            fiber = waiting.pop(0)
            yield fiber, loop
            for nursery in nurseries(fiber):
                waiting += list(children(nursery))


def describe(fiber, loop):
    state = STATES.get(int(fiber["state"]), "?")
    line = f"#{int(fiber['id'])} {text(fiber['name'])} {state}"
    if state == "parked" and int(fiber["wait"]):
        seconds = (int(loop["now_ns"]) - int(fiber["wait_since_ns"])) / 1e9
        line += f", waits {seconds:.3f} s for {text(fiber['wait']['text'])}"
        target = int(fiber["wait"]["target"])
        if target == 2 and int(fiber["wait_target"]):
            line += f" {text(fiber['wait_target'].cast(gdb.lookup_type('char').pointer()))}"
        elif target in (1, 4):
            line += f" {int(fiber['wait_target'])}"
    if bool(fiber["is_cancelled"]):
        line += ", cancelled"
    return line


def symbol(address):
    return gdb.execute(f"info symbol {address}", to_string=True).split(" in section")[0].strip()


class Fibers(gdb.Command):
    """fibers: the tree of fibers of every loop."""

    def __init__(self):
        super().__init__("fibers", gdb.COMMAND_STACK)

    def show(self, fiber, loop, depth):
        print("  " * depth + describe(fiber, loop))
        for nursery in nurseries(fiber):
            print("  " * (depth + 1) + f"nursery {text(nursery['name'])}, {int(nursery['count'])} alive")
            for child in children(nursery):
                self.show(child, loop, depth + 2)

    def invoke(self, argument, from_tty):
        for loop in loops():
            print(f"loop {int(loop['index'])}: {int(loop['fibers'])} fibers, {int(loop['turns'])} turns")
            for fiber in children(loop["root"].dereference()):
                self.show(fiber, loop, 1)


class Fiber(gdb.Command):
    """fiber ID [COMMAND]: run a command (default bt) on the stack of a fiber."""

    def __init__(self):
        super().__init__("fiber", gdb.COMMAND_STACK)

    def walk(self, fiber):
        """The frames of a core's fiber, by frame pointers."""
        word = gdb.lookup_type("unsigned long").pointer()
        print(f"#0  {int(fiber['pc']):#x} {symbol(int(fiber['pc']))}")
        frame, number = int(fiber["fp"]), 1
        while frame and number < 100:
            saved = gdb.Value(frame).cast(word)
            frame, back = int(saved[0]), int(saved[1])
            if back == 0:
                break
            print(f"#{number}  {back:#x} {symbol(back)}")
            number += 1

    def invoke(self, argument, from_tty):
        words = argument.split(None, 1)
        if not words or not words[0].isdigit():
            raise gdb.GdbError("fiber ID [COMMAND]: `fibers` shows the ids")
        command = words[1] if len(words) > 1 else "bt"
        found = next((pair for pair in all_fibers() if int(pair[0]["id"]) == int(words[0])), None)
        if found is None:
            raise gdb.GdbError(f"no fiber {words[0]}")
        fiber, loop = found
        print(describe(fiber, loop))
        if STATES.get(int(fiber["state"])) == "running":
            gdb.execute(command)
            return
        names = ("sp", "rbp" if "x86" in gdb.selected_frame().architecture().name() else "x29", "pc")
        values = [int(fiber[field]) for field in ("sp", "fp", "pc")]
        gdb.execute("frame 0", to_string=True)
        before = [int(gdb.parse_and_eval(f"(unsigned long) ${name}")) for name in names]
        try:
            for name, value in zip(names, values):
                gdb.execute(f"set ${name} = {value}")
        except gdb.error:
            self.walk(fiber)
            return
        try:
            gdb.execute(command)
        finally:
            for name, value in zip(names, before):
                gdb.execute(f"set ${name} = {value}")


Fibers()
Fiber()
