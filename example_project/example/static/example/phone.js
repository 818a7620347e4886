// Keeps the screen of the simulated phone up to date, and speaks when a call is answered.
// Without it, reloading the page and the plain forms do the same in silence.

const screen = document.querySelector("[data-screen]");

async function refresh() {
  const url = new URL(screen.dataset.screen, location.href);
  url.searchParams.set("version", screen.dataset.version);
  const answer = await fetch(url);
  const { version, html } = await answer.json();
  if (version === screen.dataset.version) return;
  screen.dataset.version = version;
  screen.innerHTML = html; // rendered and escaped by the server
  setClock();
}

function speak(words, language) {
  if (!("speechSynthesis" in window)) return;
  speechSynthesis.cancel();
  for (const sentence of words.split("\n")) {
    const said = new SpeechSynthesisUtterance(sentence);
    said.lang = language;
    said.rate = 0.9;
    speechSynthesis.speak(said);
  }
}

screen.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  // In the click itself: browsers let a page speak only while somebody does something.
  if (form.dataset.speak) speak(form.dataset.speak, form.closest("[lang]").lang);
  if ("hush" in form.dataset && "speechSynthesis" in window) speechSynthesis.cancel();
  await fetch(form.action, { method: "POST", body: new FormData(form) });
  await refresh();
  const words = screen.querySelector("[data-say]");
  if (words) speak(words.innerText, words.closest("[lang]").lang);
});

function setClock() {
  const clock = screen.querySelector(".clock time");
  const now = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
  if (clock.textContent !== now) clock.textContent = now;
}

async function keepUpToDate() {
  if (document.visibilityState === "visible") {
    await refresh().catch(() => {}); // the demo may have been stopped; look again later
    setClock();
  }
  setTimeout(keepUpToDate, 1000);
}

keepUpToDate();
