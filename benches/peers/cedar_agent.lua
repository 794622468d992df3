-- Asks cedar-agent from wrk, and holds every answer against the effect that it must have.
--
-- wrk does not tell which request an answer belongs to. So of its two threads one asks only what must be allowed and the
-- other only what must be denied, and each knows what to expect. Run by `cedar_agent.py` with -t 2 -s and the folder.

local threads = {}

function setup(thread)
  thread:set("effect", #threads == 0 and "allow" or "deny")
  table.insert(threads, thread)
end

function init(args)
  requests, place, wrong, failed, right = {}, 0, 0, 0, 0
  expected = effect == "allow" and '"decision":"Allow"' or '"decision":"Deny"'
  local headers = { ["Content-Type"] = "application/json" }
  for body in io.lines(args[1] .. "/" .. effect .. ".jsonl") do
    table.insert(requests, wrk.format("POST", "/v1/is_authorized", headers, body))
  end
end

function request()
  place = place % #requests + 1
  return requests[place]
end

-- A policy that failed is skipped by Cedar: then even the expected decision is one of other policies.
function response(status, _, body)
  if status ~= 200 or not body:find('"errors":[]', 1, true) then
    failed = failed + 1
  elseif not body:find(expected, 1, true) then
    wrong = wrong + 1
  else
    right = right + 1
  end
end

function done(summary, latency)
  local errors = summary.errors
  local sum = { wrong = 0, failed = errors.connect + errors.read + errors.write + errors.timeout, right = 0 }
  for _, thread in ipairs(threads) do
    for name, count in pairs(sum) do
      sum[name] = count + thread:get(name)
    end
  end
  local line = '{"requests":%d,"duration_us":%d,"wrong":%d,"failed":%d,"allow":%d,"deny":%d,"p50":%d,"p99":%d,"p999":%d}\n'
  io.write(line:format(summary.requests, summary.duration, sum.wrong, sum.failed, threads[1]:get("right"), threads[2]:get("right"),
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
