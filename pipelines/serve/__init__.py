"""The record and the runs over HTTP, for programs of other teams: routes, tokens, cache, gateway.

A request passes ``front`` (token, then cache) and, where nothing is remembered, ``api``, whose
routes know neither of them.
"""
