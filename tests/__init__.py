"""A package, since one of the installed packages brings a `tests` of its own, which would be imported instead."""
