"""The arguments of commands."""

import re


class Refused(Exception):
    """A command that is answered with `ERR reason`; the session goes on."""


def number(argument):
    if not (argument.isdigit() and len(argument) <= 18):
        raise Refused("a count is a decimal number of at most 18 digits")
    return int(argument)


def host_name(argument):
    """The name to verify and to send as SNI: `localhost` unless given."""
    if not argument:
        return "localhost"
    if len(argument) > 253 or not HOST_NAME.fullmatch(argument):
        raise Refused("not a host name")
    return argument.decode()


HOST_NAME = re.compile(rb"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*")
