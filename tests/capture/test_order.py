from __future__ import annotations

from iscsiproxy.capture.order import Order

__all__: list[str] = []


class Holder:
    def __init__(self, order: Order[str], *, size: int = 0) -> None:
        self.order = order
        self.asked = 0
        self.size = size
        order.waiting += size

    def decide(self) -> None:
        self.asked += 1
        self.order.waiting -= self.size
        self.size = 0


def out(order: Order[str]) -> str:
    order.settle()
    told = "".join(order.ready)
    order.ready.clear()
    return told


def test_what_nobody_holds_back_goes_at_once() -> None:
    order: Order[str] = Order()
    for frame, item in enumerate("abc"):
        order.put(frame, item)
    assert not order.busy
    assert list(order.ready) == ["a", "b", "c"]


def test_what_is_held_back_goes_in_the_order_of_its_packets() -> None:
    order: Order[str] = Order()
    one, other = Holder(order), Holder(order)
    order.put(1, "a")
    order.hold(one, 3)
    order.hold(other, 5)
    order.put(2, "b")
    order.put(3, "d")
    order.put(4, "e")
    order.put(6, "g")
    assert order.busy
    assert out(order) == "ab"
    order.put(3, "c")
    order.free(one)
    assert out(order) == "dce"
    order.put(5, "f")
    order.free(other)
    assert out(order) == "fg"
    assert not order.busy


def test_who_frees_twice_does_no_harm() -> None:
    order: Order[str] = Order()
    order.free(Holder(order))
    assert out(order) == ""


def test_if_too_much_waits_the_oldest_have_to_decide() -> None:
    order: Order[str] = Order(limit=100)
    old, young = Holder(order, size=60), Holder(order, size=30)
    order.hold(young, 7)
    order.hold(old, 5)
    order.put(6, "a", 10)
    assert out(order) == ""
    order.put(8, "b", 10)
    assert out(order) == "a"
    assert (old.asked, young.asked) == (1, 0)
    order.put(9, "c", 100)
    assert out(order) == "bc"
    assert young.asked == 1
    assert order.waiting == 0


def test_its_repr_tells_its_state() -> None:
    order: Order[str] = Order()
    order.put(1, "a")
    order.hold(Holder(order), 2)
    order.put(3, "b")
    assert repr(order) == "<Order 1 ready, 1 wait for 1 holds>"
