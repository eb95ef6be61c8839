"""Who called what: each request under a role's credentials, in IAM's terms, so that policies can be held against it.

Not an enforcement: everything is let through, and written down. Requests without a role's credentials are nobody's.
"""
