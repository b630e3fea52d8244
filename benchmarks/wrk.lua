-- One request a line of the file named after `--`; each thread begins elsewhere in it. A number
-- behind it is a mean of milliseconds for which each connection rests between answer and request.
local threads = 0
local requests = {}
local at = 0

function setup(thread)
   thread:set("place", threads)
   threads = threads + 1
end

function init(arguments)
   local headers = { ["Content-Type"] = "application/json" }
   for line in io.lines(arguments[1]) do
      requests[#requests + 1] = wrk.format("POST", nil, headers, line)
   end
   at = math.floor(place * #requests / 2)
   local rest = tonumber(arguments[2] or "")
   if rest then
      delay = function() return math.random(0, 2 * rest) end
   end
end

function request()
   at = at % #requests + 1
   return requests[at]
end
