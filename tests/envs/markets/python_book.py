"""A limit order book with price-time priority in plain Python, the reference of `order_book` (and of its speed)."""

from bisect import insort
from collections import deque

LIMIT, TAKE, CANCEL = 1, 2, 3


class PythonBook:
    """Queues by price; `sides[0]` are bids, keyed by minus their price, so that the best key is the lowest."""

    def __init__(self):
        self.levels = ({}, {})  # key -> deque of orders [identifier, quantity, owner]
        self.keys = ([], [])  # sorted
        self.orders = ({}, {})  # identifier -> (key, order)

    def apply(self, kind, side, price, quantity, order, owner):
        """Executes a message; returns `(fills, rested, cancelled)`, fills as (maker's identifier, price, quantity)."""
        sign = 1 if side else -1
        if kind == CANCEL:
            return [], 0, self._cancel(side, order, quantity)
        if kind not in (LIMIT, TAKE):
            return [], 0, 0
        fills, other = [], 1 - side
        limit, keys, levels = -sign * price, self.keys[other], self.levels[other]
        while quantity and keys and keys[0] <= limit:
            queue = levels[keys[0]]
            while quantity and queue:
                maker = queue[0]
                traded = min(quantity, maker[1])
                if traded:
                    fills.append((maker[0], -sign * keys[0], traded))
                maker[1] -= traded
                quantity -= traded
                if not maker[1]:
                    queue.popleft()
                    self.orders[other].pop(maker[0], None)
            if not queue:
                del levels[keys.pop(0)]
        if kind != LIMIT or not quantity:
            return fills, 0, 0
        self._rest(side, sign * price, [order, quantity, owner])
        return fills, quantity, 0

    def _rest(self, side, key, order):
        if key not in self.levels[side]:
            self.levels[side][key] = deque()
            insort(self.keys[side], key)
        self.levels[side][key].append(order)
        self.orders[side][order[0]] = key, order

    def _cancel(self, side, identifier, quantity):
        if identifier not in self.orders[side]:
            return 0
        key, order = self.orders[side][identifier]
        taken = min(quantity, order[1])
        order[1] -= taken
        if not order[1]:
            del self.orders[side][identifier]
            queue = self.levels[side][key]
            queue.remove(order)
            if not queue:
                del self.levels[side][key]
                self.keys[side].remove(key)
        return taken

    def resting(self, side):
        """`(price, quantity, identifier)` of a side, best first."""
        sign = 1 if side else -1
        return [
            (sign * key, quantity, order) for key in self.keys[side] for order, quantity, _ in self.levels[side][key]
        ]
