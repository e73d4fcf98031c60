"""When a worker renews its lease."""

from __future__ import annotations

import pytest

from slurmtorc.errors import StoreUnavailable
from slurmtorc.worker.lease import ALONG_S, HEARTBEAT_S, LEASE_S, Lease


class Registry:
    """The store, as far as leases go."""

    def __init__(self) -> None:
        self.until: list[float] = []
        self.gives_up = self.is_away = False

    def heartbeat(self, compute_node_id: int, lease_until: float) -> bool:
        assert compute_node_id == 7
        if self.is_away:
            raise StoreUnavailable("away")
        self.until.append(lease_until)
        return not self.gives_up


@pytest.fixture
def registry() -> Registry:
    return Registry()


def lease_in(registry: Registry) -> Lease:
    return Lease(registry, 7)  # type: ignore[arg-type]  all that it asks of a store


def test_a_lease_is_renewed_in_time_and_no_more_often(registry: Registry) -> None:
    lease = lease_in(registry)
    for second in range(int(2 * HEARTBEAT_S) + 1):
        lease.renew(float(second))
    assert registry.until == [LEASE_S, HEARTBEAT_S + LEASE_S, 2 * HEARTBEAT_S + LEASE_S]


def test_who_writes_anyway_renews_along_with_that_and_need_not_write_for_its_sake(
    registry: Registry,
) -> None:
    lease = lease_in(registry)
    for second in range(60):
        lease.renew(float(second), along=True)
        before = len(registry.until)
        lease.renew(float(second))
        assert len(registry.until) == before
    assert len(registry.until) == 60 / ALONG_S


def test_a_renewal_that_may_have_come_to_nothing_is_tried_again(registry: Registry) -> None:
    lease = lease_in(registry)
    lease.renew(0.0, along=True)
    lease.doubt()  # the transaction around it failed
    lease.renew(1.0)
    assert registry.until == [LEASE_S, 1.0 + LEASE_S]
    registry.is_away = True
    with pytest.raises(StoreUnavailable):
        lease.renew(1.0 + HEARTBEAT_S)
    registry.is_away = False
    lease.renew(2.0 + HEARTBEAT_S)
    assert registry.until[-1] == 2.0 + HEARTBEAT_S + LEASE_S


def test_a_worker_that_was_given_up_hears_of_it(registry: Registry) -> None:
    lease = lease_in(registry)
    lease.renew(0.0)
    assert not lease.is_lost
    registry.gives_up = True
    lease.renew(HEARTBEAT_S)
    assert lease.is_lost
