-- Posts each body of a file to a path once, from a file of lines "signature body".
local requests, sent = {}, 0

function init(args)
  for line in io.lines(args[1]) do
    local space = line:find(" ", 1, true)
    local headers = {
      ["Content-Type"] = "application/json",
      ["X-Shopify-Topic"] = "orders/create",
      ["X-Shopify-Hmac-Sha256"] = line:sub(1, space - 1),
    }
    requests[#requests + 1] =
      wrk.format("POST", args[2], headers, line:sub(space + 1))
  end
end

function request()
  sent = sent + 1
  return requests[(sent - 1) % #requests + 1]
end

function done(summary, latency, _)
  io.write(string.format(
    'RESULT {"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "max": %f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1000,
    latency:percentile(99) / 1000, latency.max / 1000,
    summary.errors.status + summary.errors.connect + summary.errors.read
      + summary.errors.write + summary.errors.timeout))
end
