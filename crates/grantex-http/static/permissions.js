// The permissions page: lists what a person's agents may do and revokes it.
//
// The session token arrives in the address's fragment, which browsers do not send to servers. It is taken out of the
// address before anything else happens and lives only in this script's memory. Texts from the service are untrusted:
// they enter the page through textContent alone.
(() => {
  "use strict";

  const REQUEST_TIMEOUT_MS = 15000;
  const TOKEN_SHAPE = /^[A-Za-z0-9._~+/=-]+$/;
  const CUSTOM_PREFIX = "Custom permission: ";

  const SERVER_ACTIONS = new Map([
    ["grantex.grant.created", "Permission given"],
    ["grantex.grant.revoked", "Permission revoked"],
    ["grantex.grant.denied", "Permission refused"],
    ["grantex.token.exchanged", "Access started"],
    ["grantex.token.refreshed", "Access renewed"],
    ["grantex.token.delegated", "Access passed on to another agent"],
    ["grantex.token.revoked", "Access withdrawn"],
    ["grantex.code.reuse_detected", "A used sign-in code was presented again"],
    ["grantex.token.reuse_detected", "A used renewal token was presented again"],
  ]);
  const OUTCOMES = new Map([["failure", "failed"], ["blocked", "blocked"]]);

  // Raised for an answer that is not a success; `status` is 0 when there was no answer at all.
  class RequestError extends Error {
    constructor(status, retryAfter) {
      super(`the request failed with status ${status}`);
      this.status = status;
      this.retryAfter = retryAfter;
    }
  }

  let session = takeSession();
  // Names by agent id, kept so that the activity still names an agent whose permission was just revoked.
  const agentNames = new Map();

  function takeSession() {
    const token = new URLSearchParams(location.hash.slice(1)).get("session");
    if (location.hash !== "") {
      history.replaceState(null, "", location.pathname + location.search);
    }
    return token !== null && TOKEN_SHAPE.test(token) ? token : null;
  }

  const byId = (id) => document.getElementById(id);

  async function call(method, path) {
    let response;
    try {
      response = await fetch(byId("permissions").dataset.base + path, {
        method,
        headers: { Authorization: `Bearer ${session}`, Accept: "application/json" },
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
        signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      });
      if (response.ok) {
        return response.status === 204 ? null : await response.json();
      }
    } catch {
      throw new RequestError(0, null);
    }
    throw new RequestError(response.status, response.headers.get("retry-after"));
  }

  // Loading

  const NOTICES = ["expired", "missing", "failed"];

  function show(id) {
    for (const notice of NOTICES) {
      byId(notice).hidden = notice !== id;
    }
    byId("content").hidden = id !== "content";
    byId("account").hidden = id !== "content";
    if (NOTICES.includes(id)) {
      announce("");
      byId(id).querySelector("h2").focus();
    }
  }

  function announce(text) {
    byId("status").textContent = text;
  }

  // Returns whether the lists could be shown.
  async function load() {
    if (session === null) {
      show("missing");
      return false;
    }
    try {
      const [granted, logged] = await Promise.all([
        call("GET", "/v1/principal/grants"),
        call("GET", "/v1/principal/audit"),
      ]);
      byId("principal").textContent = granted.principalId;
      for (const grant of granted.grants) {
        agentNames.set(grant.agentId, nameOf(grant));
      }
      fill("grants", "no-grants", granted.grants.map(grantItem));
      fill("activity", "no-activity", logged.entries.map(activityItem));
      show("content");
      return true;
    } catch (error) {
      if (error.status === 401) {
        endSession();
      } else {
        byId("failed-text").textContent = reasonFor(error);
        show("failed");
      }
      return false;
    }
  }

  function endSession() {
    session = null;
    show("expired");
  }

  function reasonFor(error) {
    if (error.status === 429) {
      const seconds = Number(error.retryAfter);
      return seconds > 0
        ? `There were too many requests. Please wait ${seconds} seconds.`
        : "There were too many requests. Please wait a moment.";
    }
    if (error.status === 0) {
      return "The service did not answer. Please check your connection.";
    }
    return "Something went wrong on our side.";
  }

  function fill(listId, emptyId, items) {
    byId(listId).replaceChildren(...items);
    byId(emptyId).hidden = items.length > 0;
  }

  function copyOf(templateId) {
    return byId(templateId).content.firstElementChild.cloneNode(true);
  }

  const nameOf = (grant) => grant.agentName ?? "An agent that was removed";

  // Grants

  function grantItem(grant) {
    const item = copyOf("grant-template");
    const part = (selector) => item.querySelector(selector);
    const name = nameOf(grant);
    part(".agent-name").textContent = name;
    part(".agent-did").textContent = grant.agentDid ?? grant.agentId;
    if (grant.agentDescription) {
      part(".agent-description").textContent = grant.agentDescription;
      part(".agent-description").hidden = false;
    }
    part(".delegated").hidden = !(grant.delegationDepth > 0);
    part(".scopes").append(...grant.scopes.map((scope, index) => scopeItem(scope, grant.scopeDescriptions?.[index])));
    setTime(part(".issued"), grant.issuedAt);
    setTime(part(".expires"), grant.expiresAt);
    wireRevocation(item, grant, name);
    return item;
  }

  function scopeItem(scope, description) {
    const item = copyOf("scope-template");
    const isCustom = !description || description === scope || description === CUSTOM_PREFIX + scope;
    item.classList.toggle("custom", isCustom);
    item.querySelector(".sentence").textContent = isCustom ? "Custom permission" : description;
    item.querySelector("code").textContent = scope;
    item.querySelector("code").hidden = !isCustom;
    return item;
  }

  function wireRevocation(item, grant, name) {
    const revoke = item.querySelector(".revoke");
    const question = item.querySelector(".confirm");
    const keep = item.querySelector(".keep");
    const confirm = item.querySelector(".confirm-revoke");
    const problem = item.querySelector(".problem");
    let isBusy = false;

    revoke.setAttribute("aria-label", `Revoke ${name}`);
    question.setAttribute("aria-label", `Revoke ${name}?`);
    question.querySelector(".question").textContent =
      `Revoke everything listed here for ${name}? It ends at once, also for agents it was passed on to, and cannot be undone.`;

    const ask = (isAsking) => {
      question.hidden = !isAsking;
      revoke.parentElement.hidden = isAsking;
      // The harmless answer has the focus, so that a second press of Enter revokes nothing.
      (isAsking ? keep : revoke).focus();
    };

    revoke.addEventListener("click", () => ask(true));
    keep.addEventListener("click", () => !isBusy && ask(false));
    question.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !isBusy) {
        ask(false);
      }
    });
    confirm.addEventListener("click", async () => {
      if (isBusy) {
        return;
      }
      isBusy = true;
      confirm.setAttribute("aria-disabled", "true");
      confirm.textContent = "Revoking…";
      problem.textContent = "";
      try {
        await call("DELETE", `/v1/principal/grants/${encodeURIComponent(grant.grantId)}`);
        await afterRevocation(`${name} can no longer act for you.`);
      } catch (error) {
        if (error.status === 401) {
          endSession();
        } else if (error.status === 404) {
          await afterRevocation(`The permission of ${name} had already ended.`);
        } else {
          problem.textContent = `${reasonFor(error)} We could not confirm that the permission was revoked; please try again.`;
        }
      } finally {
        isBusy = false;
        confirm.removeAttribute("aria-disabled");
        confirm.textContent = "Yes, revoke";
      }
    });

    // Revoking also ends what was passed on, so all lists are read again instead of removing this one item.
    async function afterRevocation(text) {
      item.remove();
      if (await load()) {
        announce(text);
        byId("grants-title").focus();
      }
    }
  }

  // Activity

  function activityItem(entry) {
    const item = copyOf("activity-template");
    const outcome = OUTCOMES.get(entry.status);
    item.querySelector(".action").textContent = SERVER_ACTIONS.get(entry.action) ?? entry.action;
    item.querySelector(".outcome").textContent = outcome ?? "";
    item.querySelector(".outcome").hidden = outcome === undefined;
    item.querySelector(".agent").textContent = agentNames.get(entry.agentId) || entry.agentDid || entry.agentId || "Grantex";
    setTime(item.querySelector("time"), entry.timestamp);
    return item;
  }

  function setTime(element, text) {
    const time = new Date(text);
    if (Number.isNaN(time.getTime())) {
      element.textContent = "unknown";
      return;
    }
    element.dateTime = text;
    element.textContent = time.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  }

  // Start

  async function start() {
    announce("Loading your permissions…");
    if (await load()) {
      announce("");
    }
  }

  byId("retry").addEventListener("click", start);
  // A second link opened in the same tab changes only the fragment and does not reload the page.
  addEventListener("hashchange", () => {
    if (location.hash.startsWith("#session=")) {
      session = takeSession();
      agentNames.clear();
      start();
    }
  });
  start();
})();
