from agentrl.training.summary import examples
from agentrl.tree import StopReason, Tree
from agentrl.types import Task


def played(number, success):
    tree = Tree(f"{number:03d}", Task(id=str(number), env_id="x"))
    tree.add_episode(stop=StopReason.TERMINATED, metrics={"success": success})
    return tree


def test_examples_show_wins_and_losses_in_panel_order():
    finished_in_any_order = [played(n, float(n % 3 != 0)) for n in (5, 3, 1, 0, 4, 2, 6, 7)]
    assert [tree.id for tree in examples(finished_in_any_order, 4)] == ["000", "001", "002", "003"]


def test_examples_fill_up_where_one_kind_is_rare_and_skip_failed_episodes():
    trees = [played(n, 1.0) for n in range(5)]
    broken = Tree("900", Task(id="900", env_id="x"))
    broken.add_episode(stop=StopReason.ENV_ERROR)
    assert [tree.id for tree in examples([*trees, broken], 4)] == ["000", "001", "002", "003"]
    lost = [played(n, 0.0) for n in range(5)]
    assert len(examples(lost, 4)) == 4
