-- The design that authsvc replaces: Lua in nginx takes the customer's Basic
-- credential, asks the vendor's API in a subrequest for every request, checks
-- that a license names the release, and sets the registry's token, which it
-- reloads from its file every few seconds.
local cjson = require "cjson.safe"

local function refuse(status)
    return ngx.exit(status)
end

local function registry_token()
    local cached = ngx.shared.registry:get("token")
    if cached then
        return cached
    end
    local file = io.open("@DIR@/ecr-token")
    if not file then
        return nil
    end
    local token = file:read("*a")
    file:close()
    ngx.shared.registry:set("token", token, 5)
    return token
end

local function licensed(objects, repository, reference)
    for _, license in ipairs(objects) do
        for _, release in ipairs(license.docker_releases or {}) do
            if release.repository == repository then
                for _, tag in ipairs(release.tags) do
                    local pattern = "^" .. tag:gsub("[%.%-]", "%%%0"):gsub("%*", ".*") .. "$"
                    if reference:match(pattern) then
                        return true
                    end
                end
            end
        end
    end
    return false
end

local credential = ngx.var.http_authorization
credential = credential and credential:match("^Basic%s+(.+)$")
credential = credential and ngx.decode_base64(credential)
local token = credential and credential:match("^[^:]+:(.+)$")
if not token then
    return refuse(401)
end

local repository, reference = ngx.var.uri:match("^/v2/(.+)/manifests/([^/]+)$")
if not repository then
    return refuse(404)
end

local answer = ngx.location.capture("/licenses", { vars = { bearer = "Bearer " .. token } })
if answer.status ~= 200 then
    return refuse(answer.status == 401 and 401 or 503)
end
local list = cjson.decode(answer.body)
if not list or not licensed(list.objects, repository, reference) then
    return refuse(403)
end

local upstream = registry_token()
if not upstream then
    return refuse(503)
end
ngx.var.registry_authorization = "Basic " .. upstream
