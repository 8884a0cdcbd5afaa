"""The local grid's REST API: gridproxy's contract over what the ledger knows.

`app` routes, `listing` finds a page, `query` and `filters` read a request, `wire` writes an answer, `source` is where the
rows come from. Source of the contract: `grid-proxy` of threefoldtech/tfgrid-sdk-go, summed up in the facts under
"Gridproxy REST notes".
"""
