"""The program ``holdfast-identity``: it runs beside an engine and lets no request reach one that is not what was approved.

It needs nothing but the standard library, so that it costs each pod a few megabytes.
"""
