-- classify.lua FOLDER COUNT PATH: wrk posts the pictures 0.jpg, 1.jpg ... of a folder in turn, and counts statuses.
local requests, at, threads = {}, 0, {}

function setup(thread)
   table.insert(threads, thread)
end

function init(args)
   for i = 0, tonumber(args[2]) - 1 do
      local file = assert(io.open(args[1] .. "/" .. i .. ".jpg", "rb"))
      requests[i] = wrk.format("POST", args[3], { ["Content-Type"] = "image/jpeg" }, file:read("*a"))
      file:close()
   end
   ok, busy, other = 0, 0, 0
end

function request()
   at = (at + 1) % (#requests + 1)
   return requests[at]
end

function response(status)
   if status == 200 then ok = ok + 1 elseif status == 503 then busy = busy + 1 else other = other + 1 end
end

function done(summary, latency)
   local ok, busy, other = 0, 0, 0
   for _, thread in ipairs(threads) do
      ok, busy, other = ok + thread:get("ok"), busy + thread:get("busy"), other + thread:get("other")
   end
   local errors = summary.errors
   io.write(string.format("ok %d busy %d other %d errors %d p50_ms %.2f p99_ms %.2f seconds %.2f\n", ok, busy, other,
      errors.connect + errors.read + errors.write + errors.timeout, latency:percentile(50) / 1000,
      latency:percentile(99) / 1000, summary.duration / 1e6))
end
