"""One step of a search: look at the simulations of this generation, then spawn the next, or stop.

With arguments it is one simulation: search.py DAMPING STIFFNESS OUTPUT
"""

import json
import math
import sys
from pathlib import Path

from slurmtorc.spawn import Job, Orchestrator

FOLDER = Path("torc_output/search")
TRUE_DAMPING, TRUE_STIFFNESS = 0.37, 2.9
STEP_S, STEPS = 0.002, 10_000


def swing(damping, stiffness):
    """The angle of the pendulum at every hundredth step (semi-implicit Euler)."""
    angle, speed, seen = 1.2, 0.0, []
    for step in range(STEPS):
        speed -= STEP_S * (damping * speed + stiffness * math.sin(angle))
        angle += STEP_S * speed
        if step % 100 == 0:
            seen.append(angle)
    return seen


def simulate(damping, stiffness, output):
    """How far the simulated swing is from the measured one."""
    pairs = zip(swing(damping, stiffness), swing(TRUE_DAMPING, TRUE_STIFFNESS), strict=True)
    error = math.sqrt(sum((a - b) ** 2 for a, b in pairs))
    found = {"damping": damping, "stiffness": stiffness, "error": error}
    Path(output).write_text(json.dumps(found))


def best_of(generation):
    """The best simulation of a generation."""
    found = (json.loads(path.read_text()) for path in FOLDER.glob(f"{generation}_*.json"))
    return min(found, key=lambda one: one["error"])


def step():
    me = Orchestrator.from_env()
    if me.generation == 0:
        FOLDER.mkdir(parents=True, exist_ok=True)
        center, width = {"damping": 0.5, "stiffness": 2.5}, 0.25
    else:
        center, width = best_of(me.generation), me.state["width"] * 0.6
        print(f"generation {me.generation}: {center}")
        if width < 0.03:
            me.converge(state=center)
            Path("torc_output/search.json").write_text(json.dumps(center))
            return
    following = me.generation + 1
    jobs = []
    for number in range(9):
        damping = center["damping"] + width * (number % 3 - 1)
        stiffness = center["stiffness"] + width * (number // 3 - 1)
        name = f"try_{following}_{number}"
        output = FOLDER / f"{following}_{number}.json"
        command = f"python3 {sys.argv[0]} {damping} {stiffness} {output}"
        jobs.append(Job(name=name, command=command, resource_requirements="simulation"))
    look = Job(
        name=f"search_{following}",
        command=f"python3 {sys.argv[0]}",
        depends_on=[job.name for job in jobs],
        resource_requirements="simulation",
    )
    me.spawn([*jobs, look], state={"width": width})


if len(sys.argv) > 1:
    simulate(float(sys.argv[1]), float(sys.argv[2]), sys.argv[3])
else:
    step()
