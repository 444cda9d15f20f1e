"""Our environments beside the packages as other frameworks drive them: the same games and actions.

    python benchmarks/environments_peers.py [--python PYTHON] [--webshop-original CLONE PYTHON]

`--python` is an interpreter with `alfworld` and `scienceworld` (a virtual environment of its own:
`pip install 'textworld[pddl]' scienceworld && pip install --no-deps alfworld`); their sides are
`peers_alfworld.py` and `peers_scienceworld.py`, which say whose calls they repeat.  WebShop's is
`webshop_comparison.py`, which says what CLONE and PYTHON are there.

Both sides play in one process, without what carries the calls to worker processes, one side after
the other.  Ours plays at random, the original repeats the actions; every observation and list of
actions is compared.  Times per call are median wall clock and mean CPU, Java included.  ALFWorld:
our games were translated before, as `prepare` does once; a game is played `--rounds` times, by the
original once (it does the same work each time).  ScienceWorld is measured with and without the list
of valid actions, which the original always makes; both sides play everything once before.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peers_clock import Stopwatch

from agentrl.envs import env_class, make
from agentrl.envs.alfworld.options import Options as ALFWorldOptions
from agentrl.envs.alfworld.source import locate
from agentrl.envs.scienceworld.process import DETERMINISTIC
from agentrl.types import Task, TaskPanel

HERE = Path(__file__).parent
Row = dict[str, Any]
Pages = dict[str, list[list[Any]]]


def play(
    tasks: Sequence[Task], actions: dict[str, list[str]], steps: int, clock: Stopwatch
) -> Pages:
    """Play `actions`, or at random where there are none, which are then noted there."""
    env, rng, pages = make(tasks[0].env_id), random.Random(0), {}
    for task in tasks:
        with clock.timed("reset"):
            observation, info = env.reset(seed=task.seed, options=dict(task.options))
        shown = [[observation, info["admissible_actions"]]]
        played: list[str] = []
        over = False
        while not over and len(played) < len(actions.get(task.id, range(steps))):
            known = actions.get(task.id)
            action = known[len(played)] if known is not None else choose(info, rng)
            with clock.timed("step"):
                observation, _, terminated, truncated, info = env.step(action)
            shown.append([observation, info["admissible_actions"]])
            played.append(action)
            over = terminated or truncated
        pages[task.id], actions[task.id] = shown, played
    env.close()
    return pages


def choose(info: dict[str, Any], rng: random.Random) -> str:
    """Return an admissible action, or a template with objects in it."""
    if info["admissible_actions"] is not None:
        return str(rng.choice(info["admissible_actions"]))
    words = str(rng.choice(info["action_templates"])).split()
    return " ".join(str(rng.choice(info["objects"])) if w == "OBJ" else w for w in words)


def other_side(script: str, python: Path, workload: Row, java_options: str = "") -> Row:
    """Run the other side."""
    with tempfile.TemporaryDirectory() as name:
        files = [Path(name) / "workload.json", Path(name) / "result.json"]
        files[0].write_text(json.dumps(workload))
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        if java_options:
            environment["JAVA_TOOL_OPTIONS"] = java_options
        command = [str(python), str(HERE / script), *map(str, files)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if done.returncode:
            raise SystemExit(f"{script} failed with {python}:\n{done.stderr[-2000:]}")
        result: Row = json.loads(files[1].read_text())
        return result


def differences(ours: Pages, theirs: Pages, part: int) -> int:
    """Count the pages that differ in their text (0) or their actions (1)."""
    pairs = [pair for name in ours for pair in zip(ours[name], theirs[name], strict=True)]
    return sum(mine[part] != other[part] for mine, other in pairs)


def compared(ours: Stopwatch, theirs: Row) -> Row:
    """Return both sides' times and how many times ours are lower."""
    mine = ours.results()
    ratios = {
        f"{call}_{clock}": theirs[call][f"{clock}_ms"] / mine[call][f"{clock}_ms"]
        for call in ("reset", "step")
        for clock in ("wall", "cpu")
    }
    return {"ours": mine, "original": theirs, "times_faster": ratios}


def alfworld(python: Path, data: Path | None, games: int, rounds: int) -> Row:
    """Compare with `AlfredTWEnv`; without data, on generated games."""
    options: Row = {"generated": True} if data is None else {"data_dir": str(data)}
    cls = env_class("agentrl/ALFWorld-v0")
    panel = cls.panel("valid_unseen", count=games, seed=1, **options)
    cls.prepare(panel)
    clock = Stopwatch()
    actions: dict[str, list[str]] = {}
    for _ in range(rounds):
        pages = play(panel.tasks, actions, 50, clock)
    with tempfile.TemporaryDirectory() as folder:
        names = write_games(panel, Path(folder))
        episodes = {names[task]: played for task, played in actions.items()}
        result = other_side("peers_alfworld.py", python, {"folder": folder, "episodes": episodes})
    theirs = {task: result["pages"][name] for task, name in names.items()}
    return {
        "games": len(panel),
        "published": data is not None,
        "pages": sum(map(len, pages.values())),
        "different_texts": differences(pages, theirs, 0),
        "different_actions": differences(pages, theirs, 1),
        **compared(clock, result["times"]),
    }


def write_games(panel: TaskPanel, folder: Path) -> dict[str, str]:
    """Write the games as the package wants them; returns their folders by task."""
    names = {}
    for number, task in enumerate(panel):
        found = locate(ALFWorldOptions.read(task.options), task.seed)
        names[task.id] = f"game-{number:04d}"
        game = folder / names[task.id]
        game.mkdir()
        (game / "game.tw-pddl").write_text(json.dumps({**found.content(), "solvable": True}))
        (game / "traj_data.json").write_text(json.dumps({"task_type": found.task_type}))
    return names


def scienceworld(python: Path, steps: int) -> Row:
    """Compare with the package's `step`, with and without the list of valid actions."""
    cls = env_class("agentrl/ScienceWorld-v0")
    kinds = ("boil", "find-animal", "lifespan-longest-lived")

    def tasks(**options: Any) -> TaskPanel:
        return cls.panel("dev", task_types=kinds, variations_per_task=1, max_steps=10**6, **options)

    plain, listing = Stopwatch(), Stopwatch()
    actions: dict[str, list[str]] = {}
    panel = tasks(admissible=True)
    play(tasks().tasks, actions, steps, Stopwatch())  # the original, too, repeats them
    play(tasks().tasks, actions, steps, plain)
    pages = play(panel.tasks, actions, steps, listing)
    episodes = {
        task.id: {
            "task": task.options["task"],
            "variation": task.options["variation"],
            "simplifications": "",
            "actions": actions[task.id],
        }
        for task in panel
    }
    # Without this choice of hash codes the package differs from run to run of itself.
    java = " ".join(DETERMINISTIC)
    result = other_side("peers_scienceworld.py", python, {"episodes": episodes}, java)
    return {
        "pages": sum(map(len, pages.values())),
        "different_texts": differences(pages, result["pages"], 0),
        "without_list": compared(plain, result["times"]),
        **compared(listing, result["times"]),
    }


def webshop(original: Sequence[Path], episodes: int) -> Row:
    """Compare with the original engine, a clone and its interpreter (`webshop_comparison.py`)."""
    clone, python = original
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        script = str(HERE / "webshop_comparison.py")
        command = [sys.executable, script, str(clone), str(python), "--out", str(out)]
        command += ["--episodes", str(episodes)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        result: Row = json.loads(out.read_text())
        return result


def data_folder() -> Path | None:
    """Return the folder with the published ALFWorld games, if it is there."""
    folder = Path(os.environ.get("AGENTRL_SHARED", "../shared")) / "data" / "alfworld"
    return folder if folder.is_dir() else None


def table(rows: dict[str, Row]) -> str:
    """Return one line per environment and call."""
    lines = []
    parts = dict(rows)
    if "scienceworld" in rows:
        parts["scienceworld, no list"] = rows["scienceworld"]["without_list"]
    for name, row in parts.items():
        for call in ("reset", "step") if "ours" in row else ():
            ours, theirs, faster = row["ours"][call], row["original"][call], row["times_faster"]
            lines.append(
                f"{name:22}{call:6} wall {ours['wall_ms']:8.3f} ms, original "
                f"{theirs['wall_ms']:8.2f} ms, {faster[f'{call}_wall']:6.1f} times; CPU "
                f"{ours['cpu_ms']:8.3f} ms, original {theirs['cpu_ms']:8.2f} ms, "
                f"{faster[f'{call}_cpu']:6.1f} times"
            )
        if "pages" in row and "different_texts" in row:
            lines.append(f"{name}: {row['different_texts']} of {row['pages']} texts differ")
    if "webshop" in rows:
        shop = rows["webshop"]
        lines.append(
            f"webshop               step   CPU {shop['our_step_ms']:.3f} ms, original "
            f"{shop['original_step_ms']:.2f} ms, {shop['ratio']:.1f} times; "
            f"{shop['different pages']} of {shop['pages']} pages differ"
        )
    return "\n".join(lines)


def measure(
    python: Path | None,
    webshop_original: Sequence[Path] | None,
    games: int = 12,
    rounds: int = 2,
    steps: int = 30,
    episodes: int = 60,
) -> dict[str, Row]:
    """Compare with what is given; the meaning of the arguments is that of the options."""
    rows: dict[str, Row] = {}
    if python is not None:
        rows["alfworld"] = alfworld(python, data_folder(), games, rounds)
        rows["scienceworld"] = scienceworld(python, steps)
    if webshop_original is not None:
        rows["webshop"] = webshop(webshop_original, episodes)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", type=Path, help="with `alfworld` and `scienceworld`")
    parser.add_argument("--webshop-original", nargs=2, type=Path, metavar=("CLONE", "PYTHON"))
    parser.add_argument("--games", type=int, default=12, help="of ALFWorld")
    parser.add_argument("--rounds", type=int, default=2, help="how often ours plays each of them")
    parser.add_argument("--steps", type=int, default=30, help="of each ScienceWorld episode")
    parser.add_argument("--episodes", type=int, default=60, help="of WebShop")
    parser.add_argument("--out", type=Path, help="write the JSON here, too")
    options = vars(parser.parse_args())
    out, load = options.pop("out"), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as cache:
        os.environ["AGENTRL_CACHE"] = cache
        rows = measure(**options)
    print(table(rows))
    result = {"benchmark": "environments_peers", "load_average": load, "environments": rows}
    text = json.dumps(result, indent=1)
    if out:
        out.write_text(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
