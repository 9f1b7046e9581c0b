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
    return [each for each in found if getattr(each, "error_type", None) == "denied"]


def _reasons(error):
    members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    named = (getattr(error, "reason", None), error.__cause__)
    return [
        each for each in (*named, *islice(members, MOST), *islice(error.args, MOST)) if isinstance(each, BaseException)
    ]
