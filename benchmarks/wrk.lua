-- One request a line of the file named after `--`; each thread begins elsewhere in it.
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
end

function request()
   at = at % #requests + 1
   return requests[at]
end
