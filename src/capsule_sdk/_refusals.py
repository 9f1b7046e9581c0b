"""What the host refused, as an exception that nobody caught tells it."""

from itertools import islice

MOST = 100  # exceptions that are looked at


def refusals_in(error):
    """The refusals that `error` is, or was raised for. The host knows what it refused, and looks for its words.

    Looked through are the members of groups, and where libraries keep what went wrong: `reason` (urllib, urllib3), the
    arguments (urllib3, requests) and `raise ... from`. Not what was being handled when it was raised: a program that
    has dealt with a refusal and fails after that has failed by itself.
    """
    found = [error]
    for each in found:  # which grows
        known = {id(other) for other in found}
        new = [other for other in _reasons(each) if id(other) not in known]
        found += new[: MOST - len(found)]
    return [each for each in found if _look(each, "error_type") == "denied"]


def _reasons(error):
    members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    args = _look(error, "args")
    given = args[:MOST] if isinstance(args, tuple) else ()
    named = (_look(error, "reason"), error.__cause__)
    return [each for each in (*named, *islice(members, MOST), *given) if isinstance(each, BaseException)]


def _look(error, name):
    """What a class of the program's says may raise, whatever it is."""
    try:
        return getattr(error, name, None)
    except Exception:  # noqa: BLE001
        return None
