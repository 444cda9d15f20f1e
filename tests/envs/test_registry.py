"""The registry: names to environments, ours and everybody's."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gymnasium
import pytest

from agentrl import envs
from agentrl.envs import plugins, registry
from agentrl.errors import ConfigError, EnvironmentFailure, UnknownNameError
from agentrl.rollout.workers import EnvPool
from tests.envs.corridor import Corridor


def test_registered_environments_are_listed_with_a_description():
    names = dict(envs.listing())
    assert names["agentrl/TextWorld-v0"].startswith("TextWorld games")
    assert list(names) == sorted(names)


def test_an_environment_is_also_known_to_gymnasium():
    env = gymnasium.make("tests/Corridor-v0")
    assert isinstance(env.unwrapped, Corridor)
    assert env.reset(seed=0)[0] == "1 steps to go."


def test_make_gives_the_bare_environment():
    assert type(envs.make("tests/Corridor-v0")) is Corridor


def test_a_class_from_any_gymnasium_registration_is_found():
    gymnasium.register("thirdparty/Corridor-v3", "tests.envs.corridor:Corridor")
    assert envs.env_class("thirdparty/Corridor-v3") is Corridor


def test_twenty_lines_of_user_code_run_in_a_worker_process():
    async def main() -> float:
        async with EnvPool(1, env_ids=["tests/Corridor-v0"]) as pool, pool.lease() as handle:
            await handle.reset(Corridor.panel("train")[0])
            return (await handle.step("walk"))[1]

    assert asyncio.run(main()) == 1.0


def test_an_unknown_environment_names_the_nearest():
    with pytest.raises(
        UnknownNameError, match=r"Did you mean 'agentrl/TextWorld-v0'.*agentrl envs"
    ):
        envs.make("agentrl/Textworld-v0")
    with pytest.raises(UnknownNameError, match="Unknown environment"):
        envs.env_class("agentrl/TextWorld-v9")


@pytest.mark.parametrize("name", ["NoNamespace-v0", "agentrl/NoVersion", "a b/c-v0"])
def test_a_malformed_id_is_refused(name: str):
    with pytest.raises(ConfigError, match="id"):
        envs.register(name, "tests.envs.corridor:Corridor", description="")


def test_registering_a_name_twice_is_an_error():
    with pytest.raises(ConfigError, match="already registered"):
        envs.register("tests/Corridor-v0", "tests.envs.corridor:Corridor", description="")


def test_an_entry_point_that_cannot_be_imported_is_named():
    envs.register("tests/Missing-v0", "tests.envs.corridor:NoSuchClass", description="")
    with pytest.raises(ConfigError, match="NoSuchClass"):
        envs.env_class("tests/Missing-v0")


def test_a_constructor_that_raises_is_an_environment_failure():
    with pytest.raises(EnvironmentFailure, match="takes no arguments"):
        envs.make("tests/Corridor-v0", no_such_argument=1)


def test_a_module_that_raises_while_it_is_imported_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "own_broken.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match=r"own_broken.*ZeroDivisionError"):
        envs.make("own_broken:own/Broken-v0")
    envs.register("tests/OwnBroken-v0", "own_broken:Broken", description="")
    with pytest.raises(ConfigError, match="own_broken:Broken: ZeroDivisionError"):
        envs.env_class("tests/OwnBroken-v0")


# Installed packages, by their entry point

ACME = '''"""The registrations of a package; its environments are in another module."""
import sys
import gymnasium
from agentrl.envs import register

def register_all():
    register("Corridor-v0", "acme_corridor:Corridor", description="A corridor by Acme.")
    register("acme/Other-v1", "acme_corridor:Corridor", description="With its namespace.")
    gymnasium.register("Plain-v0", "acme_corridor:Corridor")
'''
CORRIDOR = """from agentrl.types import Task, TaskPanel
from tests.envs.broken import Sound

class Corridor(Sound):
    @classmethod
    def task(cls, number, split, options):
        return Task(id=f"{number}", env_id="acme/Corridor-v0", seed=number, split=split)
"""
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs packages as pip would: modules, and a dist-info with their entry point."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(plugins, "_loaded", set())
    monkeypatch.setattr(plugins, "origins", {})
    monkeypatch.setattr(plugins, "failures", {})
    monkeypatch.setattr(gymnasium.envs.registration, "registry", dict(gymnasium.registry))
    monkeypatch.setattr(gymnasium, "registry", gymnasium.envs.registration.registry)
    monkeypatch.setattr(registry, "_descriptions", dict(registry._descriptions))

    def write(package: str, entry: str, **modules: str) -> None:
        folder = tmp_path / f"{package}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[{plugins.GROUP}]\n{entry}\n")
        for name, text in modules.items():
            (tmp_path / f"{name}.py").write_text(text)
            monkeypatch.delitem(sys.modules, name, raising=False)
        plugins._plugins.cache_clear()

    yield write
    plugins._plugins.cache_clear()


def test_an_installed_package_is_found_by_id(install: Install):
    install("acme-envs", "acme = acme:register_all", acme=ACME, acme_corridor=CORRIDOR)
    assert "acme/Corridor-v0" not in gymnasium.registry
    env = envs.make("acme/Corridor-v0")
    assert type(env).__module__ == "acme_corridor"
    assert envs.env_class("acme/Plain-v0") is type(env)


def test_only_the_package_of_the_namespace_is_imported_and_no_environment(install: Install):
    install("acme-envs", "acme = acme:register_all", acme=ACME, acme_corridor="1 / 0")
    install("other-envs", "other = other_envs:register_all", other_envs="1 / 0")
    envs.env_class("agentrl/TextWorld-v0")
    assert "acme" not in sys.modules
    registry.check_known("acme/Corridor-v0")
    assert "acme" in sys.modules and "acme_corridor" not in sys.modules
    assert "other_envs" not in sys.modules


def test_environments_of_packages_are_listed_with_their_origin(install: Install):
    install("acme-envs", "acme = acme:register_all", acme=ACME, acme_corridor="1 / 0")
    found = {entry.env_id: entry for entry in registry.entries()}
    assert found["acme/Corridor-v0"].origin == "acme-envs"
    assert found["acme/Corridor-v0"].description == "A corridor by Acme."
    assert found["acme/Other-v1"].description == "With its namespace."
    assert found["acme/Plain-v0"].description == ""
    assert found["agentrl/TextWorld-v0"].origin == ""
    assert "CartPole-v1" not in found


@pytest.mark.parametrize("name", ["__root__", "__internal__"])
def test_the_reserved_names_give_no_namespace(install: Install, name: str):
    code = 'from agentrl.envs import register\nregister("abc/X-v0", "y:Z", description="")\n'
    install("root-envs", f"{name} = root_envs", root_envs=code)
    registry.check_known("abc/X-v0")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("register_all = None", "TypeError"),
        ("def register_all(): raise RuntimeError('no licence')", "no licence"),
        (ACME.replace("acme/Other", "wrong/Other"), "must be in namespace 'acme'"),
    ],
)
def test_a_package_that_cannot_be_loaded_is_named_and_harms_no_other(
    install: Install, code: str, reason: str
):
    install("bad-envs", "acme = bad_envs:register_all", bad_envs=code)
    with pytest.raises(UnknownNameError, match=f"bad-envs .* could not be loaded: .*{reason}"):
        envs.make("acme/Missing-v0")
    assert gymnasium.envs.registration.current_namespace is None
    assert "agentrl/TextWorld-v0" in {entry.env_id for entry in registry.entries()}
    assert any(reason in text for text in plugins.failures.values())


def test_an_installed_package_conforms_and_is_listed_on_the_command_line(install: Install):
    install("acme-envs", "acme = acme:register_all", acme=ACME, acme_corridor=CORRIDOR)
    code = f"import sys; sys.path[:] = {sys.path!r}; from agentrl.cli import main; sys.exit(main())"

    def agentrl(*arguments: str) -> str:
        command = [sys.executable, "-c", code, *arguments]
        run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    lines = agentrl("envs").splitlines()
    assert "acme/Corridor-v0             A corridor by Acme. [acme-envs]" in lines
    assert "acme/Plain-v0                 [acme-envs]" in lines
    report = json.loads(agentrl("envs", "check", "acme/Corridor-v0", "--json"))
    assert {result["status"] for result in report["results"]} == {"pass"}
