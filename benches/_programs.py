"""Programs that compute, in the manner of pyperformance: sources, because they run in several interpreters."""

from __future__ import annotations

from collections.abc import Mapping

CAPSULE = 'from capsule import task\n@task(name="main", compute="HIGH", ram="256MB", timeout="120s")'
"""What makes a main of them that both capsule and capsule-run take."""

NBODY = """
import math
def main(steps):
    bodies = [([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], 39.0)]
    for number in range(1, 5):
        angle, far = number * 2.4, number * number + 2.0
        turn = math.sqrt(39.0 / far)
        here = [far * math.cos(angle), far * math.sin(angle), 0.1 * number]
        bodies.append((here, [-turn * math.sin(angle), turn * math.cos(angle), 0.01], 0.03 / number))
    pairs = [(one, other) for number, one in enumerate(bodies) for other in bodies[number + 1 :]]
    for _ in range(int(steps)):
        for (here, speed, mass), (there, other_speed, other_mass) in pairs:
            dx, dy, dz = here[0] - there[0], here[1] - there[1], here[2] - there[2]
            pull = 0.001 * (dx * dx + dy * dy + dz * dz) ** -1.5
            one, other = other_mass * pull, mass * pull
            speed[0] -= dx * one
            speed[1] -= dy * one
            speed[2] -= dz * one
            other_speed[0] += dx * other
            other_speed[1] += dy * other
            other_speed[2] += dz * other
        for here, speed, _mass in bodies:
            here[0] += 0.001 * speed[0]
            here[1] += 0.001 * speed[1]
            here[2] += 0.001 * speed[2]
    return round(sum(place for here, _speed, _mass in bodies for place in here), 6)
"""

JSON = """
import json
def main(times):
    users = []
    for number in range(100):
        user = {"id": number, "name": "user " + str(number), "tags": ["a", "b"], "score": number / 7, "on": number > 50}
        users.append(user)
    thing = {"users": users}
    length = 0
    for _ in range(int(times)):
        text = json.dumps(thing)
        thing = json.loads(text)
        length += len(text)
    return length
"""

REGEX = """
import re
def main(times):
    lines = [f"name{number}@example{number % 7}.org, +49 {number * 7919};" for number in range(200)]
    text = " ".join(lines)
    mail, phone = re.compile(r"([a-z0-9]+)@([a-z0-9]+)\\.(org|com)"), re.compile(r"\\+[0-9]{2} [0-9]+")
    found = 0
    for _ in range(int(times)):
        found += len(mail.findall(text)) + len(phone.findall(text))
        found += len(re.sub(r"[0-9]+", "#", text).split(";"))
    return found
"""

DICTS = """
def main(times):
    words = ["word" + str(number % 997) for number in range(5000)]
    total = 0
    for _ in range(int(times)):
        counts = {}
        for word in words:
            counts[word] = counts.get(word, 0) + 1
        turned = {}
        for word, count in counts.items():
            turned.setdefault(count, []).append(word)
        total += sum(len(found) * count for count, found in turned.items())
    return total
"""

PROGRAMS: Mapping[str, tuple[str, int, str]] = {
    "nbody": (NBODY, 6_000, "bodies that pull at each other: floating point"),
    "json": (JSON, 250, "json, there and back"),
    "regex": (REGEX, 150, "regular expressions"),
    "dicts": (DICTS, 150, "dicts and short strings"),
}
"""By name: the source, how much of it takes some tenths of a second natively, and what it is."""
