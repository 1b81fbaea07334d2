-- generations.lua FOLDER COUNT PATH: wrk posts four pictures in a request, and looks whether two answers to the same ones
-- differ although they name the same generation: then one of them is of more than one.
local requests, at, threads, seen = {}, 0, {}, {}
local each = 4

function setup(thread)
   table.insert(threads, thread)
end

local function picture(args, i)
   local file = assert(io.open(args[1] .. "/" .. i % tonumber(args[2]) .. ".jpg", "rb"))
   local bytes = file:read("*a")
   file:close()
   return '--b\r\nContent-Disposition: form-data; name="file"; filename="' .. i .. '"\r\n\r\n' .. bytes .. "\r\n"
end

function init(args)
   for i = 0, tonumber(args[2]) - 1 do
      local body = ""
      for k = 0, each - 1 do body = body .. picture(args, i + k) end
      requests[i] = wrk.format("POST", args[3], { ["Content-Type"] = "multipart/form-data; boundary=b",
         ["X-Request-Id"] = tostring(i) }, body .. "--b--\r\n")
   end
   ok, failed, mixed, generations = 0, 0, 0, 0
end

function request()
   at = (at + 1) % (#requests + 1)
   return requests[at]
end

function response(status, headers, body)
   local generation, id = headers["X-Model-Generation"], headers["X-Request-Id"]
   if status ~= 200 or not generation or not id then failed = failed + 1 return end
   ok = ok + 1
   if not seen[generation] then seen[generation], generations = {}, generations + 1 end
   if not seen[generation][id] then seen[generation][id] = body
   elseif seen[generation][id] ~= body then mixed = mixed + 1 end
end

function done(summary)
   local ok, failed, mixed, generations = 0, 0, 0, 0
   for _, thread in ipairs(threads) do
      ok, failed, mixed = ok + thread:get("ok"), failed + thread:get("failed"), mixed + thread:get("mixed")
      generations = math.max(generations, thread:get("generations"))
   end
   local errors = summary.errors
   io.write(string.format("ok %d failed %d errors %d mixed %d generations %d\n", ok, failed,
      errors.connect + errors.read + errors.write + errors.timeout, mixed, generations))
end
