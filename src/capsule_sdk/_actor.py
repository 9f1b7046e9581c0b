"""`@actor` inside the sandbox: calling the class starts another sandbox, and the answer is a ref to it."""

import functools

from . import _refs


class ActorClass:
    """A class marked with `@actor`. The instance of this sandbox, if it is an actor's own, is made by `_program`."""

    def __init__(self, cls, settings):
        functools.update_wrapper(self, cls, updated=())
        self.__capsule_class__ = self.cls = cls
        self._name = settings.get("name") or cls.__name__

    def __call__(self, *args, **kwargs):
        return _refs.spawn(self._name, args, kwargs)

    def __mro_entries__(self, bases):
        return (self.__capsule_class__,)

    def __instancecheck__(self, instance):
        return isinstance(instance, self.__capsule_class__)

    def __getattr__(self, name):
        if name == "__capsule_class__":  # before __init__, as when unpickled
            raise AttributeError(name)
        return getattr(self.__capsule_class__, name)

    def __repr__(self):
        return f"<actor class {self._name}>"


def actor(cls=None, /, **settings):
    """Mark a class as an actor. The settings were read by the host before this program started.

    `Notes("ada")` starts an actor in a sandbox of its own and answers a ref: `ref.add("x")` asks it and answers the
    value (in `async def` code it is awaited), `ref.tell.add("x")` sends and goes on, `ref.stop()` ends it. A ref can
    be an argument and a result. What this program starts ends with it. `Notes.cls` is the plain class.
    """
    if cls is None:
        return functools.partial(actor, **settings)
    return ActorClass(cls, settings)
