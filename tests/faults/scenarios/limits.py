"""Our own limit on calls, kept together by deliverers in several processes."""

from tests.faults.finding import Finding
from tests.faults.start_up import CALLS_PER_MINUTE
from tests.faults.world import World


def shared(world: World, orders: int = 100) -> Finding:
    """Two processes with so many events that each would use up the account's calls alone."""
    found = Finding()
    numbers = world.numbers(orders)
    heard = world.posts(world.placed(numbers))
    world.until(lambda: world.waiting() == 0, 300)
    busiest = world.pinterest.busiest(60.0)
    found.tells(f"at most {busiest} calls in 60 s")
    found.expects(f"at most {CALLS_PER_MINUTE}: {busiest}", busiest <= CALLS_PER_MINUTE)
    found.expects("each went alone", all(call.events == 1 for call in world.pinterest.calls))
    world.judge(found, numbers)
    world.judge_load(found, heard)
    return found
