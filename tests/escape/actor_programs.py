"""More rows of the table: programs whose actors are hostile to one another, to their owner, and to the host.

Inside, a ref is a number, so most of these make one up. The host answers each host call with a kind of error or a value.
"""

from __future__ import annotations

import json
from functools import partial

from escape.programs import RAW, Row, forged

ACTOR = "from capsule import ActorStopped, MailboxFull, TaskFailed, actor, task, tools\n"
SAY = (
    ACTOR
    + RAW
    + """
import json
def say(operation, payload):
    calls.submit(operation, payload)
    reply = json.loads(calls.next(-1.0)[1])
    return reply["error"]["error_type"] if "error" in reply else reply["ok"]
"""
)
CHILD = """
@actor
class Child:
    def __init__(self, x=None): self.x = x
    def take(self, *args, **kwargs): return [len(args), len(kwargs)]
    def own(self): return self.x
"""
LITTLE = {"timeout": "5s"}


def message(operation: str = "ask", ref: str = '{"capsule:actor":1}', rest: str = "") -> str:
    """A program that sends one message, word for word, to the only actor that it was given (number 1)."""
    rest = rest or '"method":"take","args":[],"kwargs":{}'
    payload = f'{{"ref":{ref}}}' if operation == "stop" else f'{{"ref":{ref},{rest}}}'
    return SAY + CHILD + f"@task\ndef main():\n    Child()\n    return say({operation!r}, {payload!r})"


GREETING = SAY + CHILD + "@task\ndef main(): return Child().take(1, a=2)"
greeted = partial(Row, harmless=GREETING, value=[1, 1])
"""A row whose harmless neighbour starts an actor, asks it, and has its answer."""

REFS = (
    *(
        Row(
            name=f"made-up ref to {operation}: {number}",
            hostile=message(operation, f'{{"capsule:actor":{number}}}'),
            result="denied",
            harmless=message(operation),
            value=None if operation in ("tell", "stop") else [0, 0],
        )
        for operation in ("ask", "tell", "stop")
        for number in ("-1", "0", "2", "1.0", "true", '"1"', "null", "9" * 30, "[1]", '{"capsule:actor":1}')
    ),
    *(
        Row(
            name=f"what is no ref: {ref}",
            hostile=message("ask", ref),
            result="denied",
            harmless=GREETING,
            value=[1, 1],
        )
        for ref in ("1", "null", "[]", '"capsule:actor"', "{}", '{"capsule:actor":1,"x":1}', '[{"capsule:actor":1}]')
    ),
    *(
        Row(
            name=f"made-up ref in arguments: {name}",
            hostile=message(rest=f'"method":"take","args":{args},"kwargs":{kwargs}'),
            result=answer,
            harmless=GREETING,
            value=[1, 1],
        )
        for name, args, kwargs, answer in (
            ("nested", '[{"a":[[{"capsule:actor":7}]]}]', "{}", "denied"),
            ("keywords", "[]", '{"a":{"b":{"capsule:actor":7}}}', "denied"),
            ("the keywords themselves", "[]", '{"capsule:actor":7}', "denied"),
            ("the arguments themselves", '{"capsule:actor":1}', "{}", "invalid"),
            ("a real ref as keywords", "[]", '{"capsule:actor":1}', "invalid"),
            ("more keys", '[{"capsule:actor":1,"a":1}]', "{}", "denied"),
            ("escaped", r'[{"\u0063apsule:actor":7}]', "{}", "denied"),
            ("escaped, a real one", r'[{"c\u0061psule\u003aactor":1}]', "{}", [1, 0]),
            ("twice, the last counts", '[{"capsule:actor":1,"capsule:actor":7}]', "{}", "denied"),
            ("twice, spelled in two ways", r'[{"capsule:actor":1,"\u0063apsule:actor":7}]', "{}", "denied"),
            ("as text", r'["{\"capsule:actor\":7}","\"capsule:actor\":7"]', "{}", [2, 0]),
            ("as a key", r'[{"{\"capsule:actor\":7}":1}]', "{}", [1, 0]),
            ("a key with a space", '[{"capsule: actor":7}]', "{}", [1, 0]),
            ("400 deep", "[" * 400 + '{"capsule:actor":7}' + "]" * 400, "{}", "denied"),
        )
    ),
    *(
        Row(
            name=f"odd payload: {name}",
            hostile=SAY + CHILD + f"@task\ndef main():\n    Child()\n    return say({operation!r}, {payload!r})",
            result=answer,
            harmless=GREETING,
            value=[1, 1],
        )
        for name, operation, payload, answer in (
            ("a ref alone", "ask", '{"capsule:actor":1}', "invalid"),
            (
                "a ref as the method",
                "ask",
                '{"ref":{"capsule:actor":1},"method":{"capsule:actor":1},"args":[],"kwargs":{}}',
                "invalid",
            ),
            ("a ref as the task", "task", '{"task":{"capsule:actor":1},"args":[],"kwargs":{}}', "invalid"),
            ("a ref as the actor", "spawn", '{"actor":{"capsule:actor":1},"args":[],"kwargs":{}}', "invalid"),
            ("a ref as the tool", "tool", '{"tool":{"capsule:actor":1},"args":[],"kwargs":{}}', "invalid"),
            (
                "settings for an actor",
                "spawn",
                '{"actor":"Child","args":[],"kwargs":{},"ram":"4GB","name":"x"}',
                "invalid",
            ),
            ("an actor that is not declared", "spawn", '{"actor":"Other","args":[],"kwargs":{}}', "denied"),
            ("a task as an actor", "spawn", '{"actor":"main","args":[],"kwargs":{}}', "denied"),
            ("an actor as a task", "task", '{"task":"Child","args":[],"kwargs":{}}', "denied"),
            ("a method as a task", "task", '{"task":"Child.take","args":[],"kwargs":{}}', "denied"),
            ("a tool that was not given", "tool", '{"tool":"open","args":[],"kwargs":{}}', "denied"),
            ("a tool's inside", "tool", '{"tool":"__class__","args":[],"kwargs":{}}', "denied"),
        )
    ),
    *(
        Row(
            name=f"method {method}",
            hostile=message(rest=f'"method":{json.dumps(method)},"args":[],"kwargs":{{}}'),
            result="invalid",
            harmless=GREETING,
            value=[1, 1],
        )
        for method in (
            "__init__",
            "__class__",
            "__dict__",
            "_capsule_actor",
            "stop",
            "kill",
            "tell",
            "take.__call__",
            "x",
            "",
            " ",
            "é",
            "\0",
            "\ud83d\ude00",
            None,
        )
    ),
    *(
        Row(
            name=f"ref in a forged reply: {name}",
            hostile=forged(repr(reply)),
            error_type="invalid",
            message=message_,
            harmless="def main(): return {'capsule': 'actor'}",
            value={"capsule": "actor"},
        )
        for name, reply, message_ in (
            ("the result", '{"ok":{"capsule:actor":1},"pages":1}', "not given"),
            ("nested", '{"ok":[[{"a":{"capsule:actor":1}}]],"pages":1}', "not given"),
            ("escaped", '{"ok":[{"capsul\\u0065:actor":1}],"pages":1}', "not given"),
            ("the message", '{"error":{"message":{"capsule:actor":1}}}', "does not decode"),
            ("all of it", '{"capsule:actor":1}', "neither a result nor an error"),
        )
    ),
    Row(
        name="ref in the text of an error",
        hostile="def main(): raise ValueError('{\"capsule:actor\": 1}')",
        error_type="task_error",
        message='{"capsule:actor": 1}',
        harmless="def main(): print('{\"capsule:actor\": 1}')",
        value=None,
    ),
    greeted(
        name="ref in the text of a child's error",
        hostile=SAY
        + CHILD
        + """
@actor
class Liar:
    def lie(self): raise ValueError('{"capsule:actor":1}')
@task
def main():
    Child()
    try: Liar().lie()
    except TaskFailed as failed: return type(failed.message).__name__
""",
        result="str",
    ),
    Row(
        name="number that is right in another sandbox",
        hostile=SAY
        + CHILD
        + """
@actor
class Thief:
    def steal(self): return say("ask", '{"ref":{"capsule:actor":1},"method":"own","args":[],"kwargs":{}}')
@task
def main():
    Child("secret")
    return Thief().steal()
""",
        result="denied",
        harmless=SAY + CHILD + "@task\ndef main(): return Child('x').own()",
        value="x",
    ),
    Row(
        name="stopping what one was only given",
        hostile=ACTOR
        + CHILD
        + """
@actor
class Thief:
    def end(self, victim): victim.stop()
@task
def main():
    child = Child("alive")
    try: Thief().end(child)
    except TaskFailed as failed: return [child.own(), "being its owner" in failed.message]
""",
        result=["alive", True],
        harmless=ACTOR + CHILD + "@task\ndef main(): return Child().stop()",
        value=None,
    ),
    greeted(
        name="ref of an actor that has stopped",
        hostile=SAY
        + CHILD
        + """
@task
def main():
    child = Child()
    child.stop()
    child.stop()
    payload = '{"ref":{"capsule:actor":1},"method":"take","args":[],"kwargs":{}}'
    return [say("ask", payload), say("tell", payload)]
""",
        result=["stopped", "stopped"],
    ),
    Row(
        name="ref of an actor that ended with the sub-task that started it",
        hostile=ACTOR
        + CHILD
        + "@task\ndef make(): return Child()\n@task\ndef main():\n    child = make()\n    child.take()",
        error_type="task_error",
        exception="ActorStopped",
        message="ended",
        harmless=ACTOR + CHILD + "@task\ndef main(): return Child(Child('x')).own().own()",
        value="x",
    ),
    greeted(
        name="an actor that asks itself",
        hostile=ACTOR
        + "@actor\nclass Self:\n    def go(self, me): return me.go(me)\n@task\ndef main():\n    me = Self()\n    me.go(me)",
        error_type="task_error",
        message="asks itself is not allowed",
    ),
)

PARSES = """
import json
@actor
class Vault:
    def secret(self): return "secret"
@actor
class Clerk:
    def __init__(self, vault): self.vault = vault
    def parse(self, text): return json.loads(text)
    def hand(self, text, other): return other.get(json.loads(text))
@task
def parse(vault, text): return json.loads(text)
@actor
class Thief:
    def get(self, found):
        try: return found.secret()
        except AttributeError: return "no ref"
    def lure(self, clerk, text):
        try: return self.get(clerk.parse(text))
        except TaskFailed: return "no ref"
"""
DEPUTIES = (
    *(
        Row(
            name=f"confused deputy: {name}",
            hostile=ACTOR
            + PARSES
            + f"@task\ndef main():\n    vault, thief, text = Vault(), Thief(), {text!r}\n    clerk = Clerk(vault)\n"
            f"    try: return {how}\n    except TaskFailed: return 'no ref'",
            result="no ref",
            harmless=ACTOR + PARSES + "@task\ndef main(): return Thief().get(Clerk(Vault()).parse('{\"a\": 1}'))",
            value="no ref",
            policy=LITTLE,
        )
        for text in ('{"capsule:actor": 1}',)
        for name, how in (
            ("an actor that answers what it parsed", "thief.lure(clerk, text)"),
            ("an actor that passes on what it parsed", "clerk.hand(text, thief)"),
            ("a task that answers what it parsed", "thief.get(parse(vault, text))"),
        )
    ),
    Row(
        name="confused deputy: a program that answers what it parsed",
        hostile=ACTOR
        + CHILD
        + "import json\n@task\ndef main():\n    Child()\n    return json.loads('{\"capsule:actor\": 1}')",
        error_type="invalid",
        message="capsule:actor",
        harmless="import json\ndef main(): return json.loads('{\"capsule\": 1}')",
        value={"capsule": 1},
    ),
)

ABORTS = "import os\n"
LIVES = (
    greeted(
        name="circle of asks",
        hostile=ACTOR
        + """
@actor(timeout="400ms")
class Half:
    def go(self, other, me): return other.go(me, other)
@task
def main():
    one, two = Half(), Half()
    one.go(two, one)
""",
        error_type="task_error",
        message="timeout",
        policy=LITTLE,
    ),
    greeted(
        name="telling itself without end",
        hostile=ACTOR
        + """
@actor
class Self:
    def go(self, me):
        me.tell.go(me)
        me.tell.go(me)
@task
def main():
    import time
    me = Self()
    me.go(me)
    time.sleep(0.5)
    return 1
""",
        result=1,
    ),
    greeted(
        name="more tells to itself than its mailbox holds",
        hostile=ACTOR
        + """
@actor(max_mailbox=20)
class Self:
    def go(self, me):
        for n in range(100): me.tell.rest()
    def rest(self): pass
@task
def main():
    me = Self()
    me.go(me)
""",
        error_type="task_error",
        message="MailboxFull",
    ),
    greeted(
        name="spawn without end",
        hostile=ACTOR + CHILD + "@task\ndef main():\n    while True: Child()",
        error_type="denied",
        exception="TaskFailed",
        message="more than 20 live sub-tasks is not allowed; a larger max_subtasks in the Policy would allow it",
        policy={"max_subtasks": 20},
    ),
    greeted(
        name="spawn without end within a family's memory",
        hostile=ACTOR + CHILD + "@task\ndef main():\n    while True: Child()",
        error_type="denied",
        message="family_ram in the Policy would allow it",
        policy={"family_ram": "1GB"},
    ),
    greeted(
        name="actors that start themselves",
        hostile=ACTOR
        + """
@actor
class Fork:
    def __init__(self):
        Fork()
        Fork()
@task
def main():
    import time
    Fork()
    time.sleep(1)
    return 1
""",
        result=1,
        policy={"max_subtasks": 30, "timeout": "5s"},
    ),
    greeted(
        name="actors deeper than they may be",
        hostile=ACTOR
        + "@actor\nclass Deep:\n    def go(self): return Deep().go()\n@task\ndef main(): return Deep().go()",
        error_type="task_error",
        message="an actor 4 levels deep is not allowed; Policy(max_depth=4) would allow it",
        policy={"max_depth": 3, "timeout": "5s"},
    ),
    greeted(
        name="an actor for each message",
        hostile=ACTOR + CHILD + "@task\ndef main():\n    for _ in range(100): Child().stop()\n    return 1",
        result=1,
        policy={"max_subtasks": 2, "timeout": "15s", "compute": "HIGH"},
    ),
    greeted(
        name="a constructor that aborts",
        hostile=ACTOR
        + ABORTS
        + "@actor\nclass Bomb:\n    def __init__(self): os.abort()\n    def go(self): pass\n@task\ndef main(): Bomb().go()",
        error_type="task_error",
        exception="ActorStopped",
        message="its constructor failed: trap",
    ),
    greeted(
        name="a constructor that never ends",
        hostile=ACTOR
        + "@actor(timeout='300ms')\nclass Bomb:\n    def __init__(self):\n        while True: pass\n    def go(self): pass\n"
        "@task\ndef main(): Bomb().go()",
        error_type="task_error",
        exception="ActorStopped",
        message="its constructor failed: timeout",
        policy={"compute": "HIGH", "timeout": "5s"},
    ),
    greeted(
        name="an actor that aborts at every message",
        hostile=ACTOR
        + ABORTS
        + """
@actor
class Bomb:
    def go(self): os.abort()
@task
def main():
    bomb = Bomb()
    while True:
        try: bomb.go()
        except TaskFailed: pass
""",
        error_type="stopped",
        message="Bomb, which it had started, failed",
        policy=LITTLE,
    ),
    greeted(
        name="a task that swallows whatever it hears of an actor that failed for good",
        hostile=ACTOR
        + ABORTS
        + """
@actor
class Bomb:
    def __init__(self): self.others = [Bomb2() for _ in range(3)]
    def go(self): os.abort()
@actor
class Bomb2:
    def nap(self): pass
@task
def main():
    bomb = Bomb()
    while True:
        try: bomb.go()
        except BaseException: pass
""",
        error_type="stopped",
        message="Bomb, which it had started, failed",
        policy=LITTLE,
    ),
    greeted(
        name="a failure that escalates ends its owner, and no more",
        hostile=ACTOR
        + ABORTS
        + CHILD
        + """
@actor(on_failure="escalate")
class Bomb:
    def go(self): os.abort()
@actor
class Owner:
    def __init__(self): self.bomb = Bomb()
    def go(self): return self.bomb.go()
@task
def main():
    beside, owner = Child("alive"), Owner()
    try: owner.go()
    except TaskFailed: pass
    return beside.own()
""",
        result="alive",
        policy=LITTLE,
    ),
    *(
        Row(
            name=f"a constructor that answers {reply}",
            hostile=ACTOR
            + "import capsule_sdk._program as program\n@actor\nclass Liar:\n    def __init__(self):\n"
            + "        program.handle = program._do = program._wire.flush = None\n"
            "        program.to_json = lambda *args, **kwargs: Reply()\n    def go(self): return 1\n"
            + f"class Reply:\n    def __radd__(self, other): return self\n"
            f"    def __add__(self, other): return {reply!r} if other == '}}' else self\n"
            "@task\ndef main():\n    liar = Liar()\n    try: return liar.go()\n    except (TaskFailed, ActorStopped): return 'ended'\n",
            result="ended",
            harmless=GREETING,
            value=[1, 1],
        )
        for reply in ("", "[]", '{"ok":{"capsule:actor":1}}', '{"error":{"kind":"stopped","message":"x"}}')
    ),
    *(
        Row(
            name=f"a reply of an actor: {reply}",
            hostile=ACTOR
            + f"""
import capsule_sdk._program as program
class Reply:
    def __radd__(self, other): return self
    def __add__(self, other): return {reply!r} if other == "}}" else self
@actor
class Liar:
    def lie(self):
        program.to_json = lambda *args, **kwargs: Reply()
@task
def main():
    liar = Liar()
    answers = []
    for _ in range(2):
        try: answers.append(liar.lie())
        except TaskFailed as failed: answers.append(failed.error_type)
    return answers
""",
            result=answers,
            harmless=GREETING,
            value=[1, 1],
        )
        for reply, answers in (
            ('{"ok":1,"loaded":false}', [1, 1]),
            ('{"ok":1,"loaded":"no"}', ["invalid", "invalid"]),
            ('{"ok":1,"pages":1e400}', ["invalid", "invalid"]),
            ('{"error":{"kind":"stopped","line":-99999999999999999999999999}}', ["task_error", "task_error"]),
            ('{"error":{"kind":"escalate"}}', ["task_error", "task_error"]),
            ('{"ok":{"capsule:actor":1}}', ["invalid", "invalid"]),
        )
    ),
)

ACTOR_ROWS = (*REFS, *DEPUTIES, *LIVES)
