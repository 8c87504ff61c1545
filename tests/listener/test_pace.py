"""What is a long batch is said by the batches before it."""

from listener.pace import Pace


def paced(*batches: tuple[int, float]) -> Pace:
    pace = Pace()
    for tutors, seconds in batches:
        pace.note(tutors, seconds)
    return pace


def test_batch_is_long_once_it_takes_longer_than_those_before_it() -> None:
    pace = paced(*[(1, 0.05)] * 100)
    assert 0.045 < pace.expected(1) < 0.055


def test_few_very_long_batches_move_little() -> None:
    usual = [(1, 0.01)] * 100
    among_very_large_tutors = [*usual, *[(1, 0.01), (1, 0.01), (1, 0.01), (1, 5.0)] * 50]
    assert paced(*among_very_large_tutors).expected(1) < 1.2 * paced(*usual).expected(1)


def test_more_tutors_may_take_longer() -> None:
    pace = paced(*[(1, 0.01)] * 100)
    assert 2 * pace.expected(1) < pace.expected(20) < 20 * pace.expected(1)
