"""What a heap tells about a user who waits, for `/debug/fairness` and for tests."""

from typing import TypedDict

# Not a class statement, because of the key "class".
Standing = TypedDict(
    "Standing",
    {
        "user": str | None,
        "class": int,
        "share": float,
        # Units the window holds, and the number that orders the user.
        "usage": int,
        "key": float,
        "waiting": int,
        "in_flight": int,
    },
)
