"""What a run may spend, and when one trial more would be too much."""

from harness.drive.purse import Purse


def test_without_a_limit_there_is_always_room() -> None:
    purse = Purse()
    purse.book(10**9, 10**6)
    assert (purse.is_limited, purse.has_room(10**6), purse.is_overdrawn) == (False, True, False)


def test_what_is_under_way_is_taken_to_cost_what_a_trial_costs() -> None:
    purse = Purse(tokens=1_000)
    for _ in range(5):
        purse.book(100, 0.0)
    assert purse.has_room(4)  # 500 spent, 4 under way and one more: 1,000
    assert not purse.has_room(5)


def test_what_is_spent_beyond_the_limit_is_overdrawn() -> None:
    purse = Purse(usd=1.0)
    purse.book(0, 1.0)
    assert not purse.is_overdrawn
    purse.book(0, 0.01)
    assert purse.is_overdrawn


def test_a_server_that_counts_three_times_as_much_leaves_a_third_of_the_room() -> None:
    purse = Purse(tokens=3_000)
    purse.book(100, 0.0)
    purse.heard(300, 0.0)
    purse.book(100, 0.0)
    assert purse.told == "600 of 3,000 tokens"
    assert purse.has_room(7)
    assert not purse.has_room(8)


def test_a_server_that_counts_less_changes_nothing() -> None:
    purse = Purse(tokens=1_000)
    purse.book(100, 0.0)
    purse.heard(10, 0.0)
    assert purse.told == "100 of 1,000 tokens"


def test_what_only_the_server_knows_the_price_of_counts_by_its_word() -> None:
    purse = Purse(usd=1.0)
    purse.book(100, 0.0)
    purse.heard(500, 0.6)
    assert purse.has_room(0) is False
    purse.heard(500, 1.1)
    assert purse.is_overdrawn


def test_what_the_server_has_counted_of_trials_under_way_makes_no_trial_dearer() -> None:
    purse = Purse(tokens=20_000)
    purse.book(270, 0.0)
    purse.heard(600, 0.0)
    purse.heard(3_150, 0.0, uncounted=8)  # the questions of eight more
    assert purse.has_room(32 - 1)
    assert not purse.has_room(33 - 1)


def test_without_a_quiet_moment_a_server_is_taken_to_have_counted_all_that_is_under_way() -> None:
    purse = Purse(tokens=1_000)
    purse.book(100, 0.0)
    purse.heard(400, 0.0, uncounted=1)
    assert purse.told == "400 of 1,000 tokens"
    assert purse.has_room(3)  # five trials of 200
    assert not purse.has_room(4)
