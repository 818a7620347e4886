// What a script adds to the code page: the countdown, the state of the message, the way that a code
// takes next if it does not arrive, the end of the code's time, the code filled in by the phone. All
// else works without it.

const BACK_OFF = [1, 2, 3, 5, 8, 10]; // seconds between two questions about the message
const LEAVING = [60, 30, 10]; // seconds before its end at which the page says so: not each of them

const page = document.querySelector("[data-otp]");
const field = document.querySelector('[autocomplete="one-time-code"]');

const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

const visible = () =>
  new Promise((done) => {
    const look = () => {
      if (document.visibilityState !== "visible") return;
      document.removeEventListener("visibilitychange", look);
      done();
    };
    document.addEventListener("visibilitychange", look);
    look();
  });

// -- the wait before another message -----------------------------------------------------------

function inWords(seconds) {
  const say = (count, unit) =>
    new Intl.NumberFormat(document.documentElement.lang || "en", {
      style: "unit",
      unit,
      unitDisplay: "long",
    }).format(count);
  const minutes = Math.floor(seconds / 60);
  const words = minutes ? [say(minutes, "minute")] : [];
  if (seconds % 60) words.push(say(seconds % 60, "second"));
  return words.join(" ");
}

// A site's own template may have left the words out.
function say(line, words, seconds = 0) {
  if (words) line.textContent = words.replace("{time}", inWords(seconds));
}

function countDown(ways) {
  const line = ways.querySelector("[data-otp-wait]");
  const end = Date.now() + (line ? Number(line.dataset.otpWait) * 1000 : 0);
  const tick = () => {
    const left = Math.ceil((end - Date.now()) / 1000);
    // Set even when it is so already: a browser may restore the buttons of an earlier visit.
    for (const button of ways.querySelectorAll("button")) button.disabled = left > 0;
    if (left > 0) {
      say(line, line.dataset.otpWaiting, left);
      setTimeout(tick, (end - Date.now()) % 1000 || 1000);
    } else if (line) {
      line.setAttribute("aria-live", "polite"); // a timer is silent: its end is said
      say(line, line.dataset.otpReady);
    }
  };
  tick();
}

// -- what becomes of the message ---------------------------------------------------------------

// Nothing is under way while the code is: an answer to the old session could come after the new
// one's cookie, and take it away.
const sending = new AbortController();

async function ask(url) {
  try {
    const answer = await fetch(url, {
      signal: sending.signal,
      headers: { Accept: "application/json" },
      cache: "no-store",
      redirect: "error",
    });
    return answer.ok ? await answer.json() : {};
  } catch {
    return null; // no network just now
  }
}

// Not reload(), which would repeat a POST. Nobody loses what they have typed, or sent.
function showAnew() {
  if (!field?.value && !sending.signal.aborted) location.replace(location.pathname + location.search);
}

// -- the end of the code's time -----------------------------------------------------------------

async function expire(line) {
  const end = Date.now() + Number(line.dataset.otpLeft) * 1000;
  const until = async (left) => {
    // In short steps, since no timer runs while a phone is asleep.
    for (let wait; (wait = end - left * 1000 - Date.now()) > 0; ) await pause(Math.min(wait / 1000, 5));
  };
  for (const [place, left] of LEAVING.entries()) {
    await until(left);
    const seconds = Math.ceil((end - Date.now()) / 1000);
    if (seconds <= (LEAVING[place + 1] ?? 0)) continue; // a phone that slept: the next one is due
    say(line, line.dataset.otpLeaving, seconds);
  }
  await until(0);
  await visible();
  say(line, line.dataset.otpGone);
  await pause(1); // the clock of the database decides
  showAnew();
}

async function follow() {
  const sentence = page.querySelector("[data-otp-sentence]"); // maybe not in a site's own template
  const form = page.querySelector("[data-otp-fallback]");
  const due = form ? Date.now() + Number(form.dataset.otpFallback) * 1000 : Infinity;
  const open = ["sending"];
  if ("otpAwaitsReceipt" in page.dataset || form) open.push("sent", "unknown");
  let delivery = page.dataset.otp;
  if (!open.includes(delivery)) return; // the page says already what came of it
  for (let turn = 0; open.includes(delivery); turn += 1) {
    await pause(BACK_OFF[Math.min(turn, BACK_OFF.length - 1)]);
    await visible();
    if (sending.signal.aborted) return;
    const status = await ask(page.dataset.otpStatus);
    if (!status) continue;
    if (!status.state) return; // asking again would help no more
    if (status.state !== "open") {
      // It was entered in another tab, or is over. A page that was loaded just now knows that.
      return performance.now() < 5000 ? undefined : showAnew();
    }
    delivery = status.delivery;
    if (sentence && status.sentence && sentence.textContent !== status.sentence) {
      sentence.textContent = status.sentence;
    }
    // Who is typing has got the code.
    if (Date.now() >= due && open.includes(delivery) && !field?.value) {
      const body = new FormData(form);
      const request = { method: "POST", body, redirect: "manual", signal: sending.signal };
      const asked = await fetch(form.action, request).catch(() => null); // no network just now
      if (asked) return showAnew();
    }
  }
  if (["failed", "undelivered"].includes(delivery)) showAnew();
}

// -- the code, filled in by the phone (WebOTP) -------------------------------------------------

async function fillIn() {
  const arrived = new AbortController();
  field.form.addEventListener("submit", () => arrived.abort());
  try {
    const credential = await navigator.credentials.get({
      otp: { transport: ["sms"] },
      signal: arrived.signal,
    });
    if (credential?.code && !field.value) field.value = credential.code;
  } catch {
    // Declined, aborted or not possible here: the person types.
  }
}

// -- a double click is one click ---------------------------------------------------------------

// The second request would come from a session that the first one, with the right code, has ended.
const submitted = new Set();
document.addEventListener("submit", (event) => {
  if (event.submitter?.hasAttribute("data-otp-again")) return; // a download leaves the page as it is
  if (submitted.has(event.target)) event.preventDefault();
  submitted.add(event.target);
  sending.abort();
});
window.addEventListener("pageshow", () => submitted.clear());

for (const button of document.querySelectorAll("[data-otp-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}

// A wrong code gives way to the next one that is typed.
if (field?.getAttribute("aria-invalid") === "true") field.select();

if (page) {
  for (const ways of page.querySelectorAll("[data-otp-ways]")) countDown(ways);
  for (const line of page.querySelectorAll("[data-otp-left]")) expire(line);
  follow();
  if (field?.form && "OTPCredential" in window) fillIn();
}
