"""The Kubernetes API, as far as the programs need it: where it is, who we are there, requests, lists that stay current.

    async with client.Client(configuration.find(os.environ)) as kube:
        secret = await kube.get("/api/v1/namespaces/kthena/secrets/webhook-certs")

- `configuration` finds the cluster (`KUBECONFIG`, the service account of a pod, `~/.kube/config`),
- `credentials` are the ways to say who we are, renewed as they age,
- `client` sends requests on paths and hands over plain mappings, which `answers` reads within bounds,
- `reflector` keeps a list current by watching it, whatever becomes of the API server; `listed` is for its stores,
- `backoff` and `bucket` say when the next request may be,
- `failures` are the two ways in which a request fails.

This is our own code on aiohttp's client because kubernetes_asyncio cannot be had in part: importing anything of it
(36.1) imports every model of the API, 69 MiB and seconds of start. `configuration` follows what it does.
"""
