"""Kthena's objects as typed immutable values: one source for decoding, for the CRDs and for the admission rules.

1. The types (`model_route`, `model_server`, `external_model_provider`, and as much of core/v1 as is needed) hold every
   bound, default and description once. `structure` derives the structural schema from them, `crds` prints it, and
   `decoding` holds objects to it, so what the API server refuses and what the gateway sets aside cannot differ.
2. `rules` holds what a schema cannot say: each rule in CEL for the API server and in Python for the gateway.
3. `admission` says what the webhook refuses beyond that; what it refuses must not harm a gateway that gets it anyway.
4. `announcements` says what is decoded and not obeyed, `cautions` what is obeyed and likely not meant.
"""
