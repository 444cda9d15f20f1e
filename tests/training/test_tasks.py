from agentrl.training.tasks import TaskCursor
from agentrl.types import Task, TaskPanel

PANEL = TaskPanel.of("p", (Task(id=str(i), env_id="x") for i in range(7)))


def test_every_task_is_drawn_once_per_epoch():
    cursor = TaskCursor(PANEL, seed=1)
    drawn = [task.id for task in cursor.next(14)]
    assert sorted(drawn[:7]) == sorted(drawn[7:]) == sorted(task.id for task in PANEL)
    assert drawn[:7] != drawn[7:]


def test_the_order_depends_only_on_seed_and_position():
    whole = TaskCursor(PANEL, seed=1).next(20)
    cursor = TaskCursor(PANEL, seed=1)
    cursor.position = 9
    assert cursor.next(11) == whole[9:]
    assert TaskCursor(PANEL, seed=2).next(20) != whole
