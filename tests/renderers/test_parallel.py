"""Items side by side come in order, each on one thread, and leave torch as it was."""

import pytest
import torch

from renderers.parallel import in_parallel


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_items_come_in_order_each_on_one_thread() -> None:
    made = list(in_parallel(lambda a, b: (a, b, torch.get_num_threads()), range(20), "abcdefghijklmnopqrst"))
    assert made == [(index, letter, 1) for index, letter in enumerate("abcdefghijklmnopqrst")]
    assert torch.get_num_threads() == 2


def test_one_item_has_all_threads() -> None:
    assert list(in_parallel(lambda _: torch.get_num_threads(), [0])) == [2]


def test_errors_arrive_and_leave_torch_as_it_was() -> None:
    def fails(item: int) -> int:
        if item == 3:
            raise ValueError("no")
        return item

    with pytest.raises(ValueError, match="no"):
        list(in_parallel(fails, range(9)))
    assert torch.get_num_threads() == 2


def test_sequences_are_of_one_length() -> None:
    with pytest.raises(ValueError, match="zip"):
        list(in_parallel(lambda a, b: a, range(3), range(4)))
