// Plays one watch, close behind the live edge, and leaves nothing of it in the page (S11).

import { call, pause, Problem } from "./gateway.js";

const STALL_MS = 3000;   // no byte for this long: what is shown is no longer now
const KEEP_S = 5;        // of the past
const JUMP_S = 3;        // further behind than this: seek instead of hurrying
const TARGET_S = 0.25;   // behind the newest frame

export class Player {
  #picture;
  #stillOpen;
  #say;
  #life = null;
  #watch = null;

  // `picture` holds the video element; `stillOpen()` asks the gateway; `say(text)` tells the person.
  constructor(picture, { stillOpen, say }) {
    this.#picture = picture;
    this.#stillOpen = stillOpen;
    this.#say = say;
  }

  get wanted() {
    return this.#life !== null;
  }

  // Joins as a viewer and plays until `stop`, or until the camera is shut, or the gateway says no.
  async play(camera) {
    if (this.wanted) return;
    const life = this.#life = new AbortController();
    try {
      while (!life.signal.aborted) {
        await this.#attempt(camera, life.signal);
        if (!life.signal.aborted && !(await this.#stillOpen())) return;
      }
    } catch (problem) {
      if (!life.signal.aborted) this.#say(problem.message);
    } finally {
      if (this.#life === life) this.stop();
    }
  }

  // Black at once, whatever was under way. The watch is given back, unless it is gone because the camera is shut.
  stop({ shut = false } = {}) {
    this.#life?.abort();
    this.#life = null;
    this.#wipe();
    const watch = this.#watch;
    this.#watch = null;
    if (watch && !shut) giveBack(watch);
  }

  async #attempt(camera, signal) {
    try {
      this.#watch ??= await this.#join(camera, signal);
      try {
        await this.#show(this.#watch, signal);
      } finally {
        if (!signal.aborted) this.#wipe();
      }
    } catch (problem) {
      if (signal.aborted) return;
      if (!(problem instanceof Problem)) {
        await pause(500);   // the connection was cut
      } else if (problem.status === 404) {
        this.#watch = null;
        await pause(500);
      } else if (problem.code === "no-frame-yet" || problem.code === "slow-down") {
        await pause(Math.max(1, problem.retryAfterS) * 1000);
      } else {
        throw problem;
      }
    }
  }

  async #join(camera, signal) {
    const watch = await call(`/api/v1/cameras/${encodeURIComponent(camera)}/watches`, { method: "POST" });
    if (signal.aborted) {
      giveBack(watch);
      signal.throwIfAborted();
    }
    return watch;
  }

  async #show(watch, signal) {
    const type = `video/mp4; codecs="${watch.codecs}"`;
    const Source = self.ManagedMediaSource ?? self.MediaSource;
    if (Source?.isTypeSupported(type)) return this.#feed(new Source(), type, watch.mp4, signal);
    const video = this.#freshVideo();
    if (video.canPlayType("application/vnd.apple.mpegurl")) return this.#native(video, watch.hls, signal);
    throw new Problem(0, { detail: "This browser plays neither H.264 by MediaSource nor HLS." }, 0);
  }

  async #feed(source, type, path, signal) {
    const video = this.#freshVideo();
    const address = URL.createObjectURL(source);
    video.src = address;
    await happens(source, "sourceopen", signal);
    URL.revokeObjectURL(address);
    const buffer = source.addSourceBuffer(type);
    const link = new AbortController();
    const unlink = () => link.abort();
    signal.addEventListener("abort", unlink, { once: true });
    let stall = setTimeout(unlink, STALL_MS);
    try {
      const response = await fetch(path, { signal: link.signal, cache: "no-store" });
      if (!response.ok) throw await Problem.of(response);
      const reader = response.body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(stall);
        stall = setTimeout(unlink, STALL_MS);
        await settled(buffer, () => buffer.appendBuffer(value));
        signal.throwIfAborted();
        chase(video, buffer);
        const past = video.currentTime - KEEP_S;
        if (buffer.buffered.length && buffer.buffered.start(0) < past - 1) {
          await settled(buffer, () => buffer.remove(0, past));
        }
      }
    } finally {
      clearTimeout(stall);
      signal.removeEventListener("abort", unlink);
      link.abort();
    }
  }

  async #native(video, path, signal) {
    video.src = path;
    await Promise.race([happens(video, "error", signal), happens(video, "ended", signal)]);
  }

  #freshVideo() {
    this.#wipe();
    const video = this.#picture.querySelector("video");
    video.addEventListener("timeupdate", () => {
      if (video.currentTime > 0) this.#picture.classList.add("showing");
    });
    return video;
  }

  // A new element in the old one's place: buffers, source and the last frame go with the old one.
  #wipe() {
    this.#picture.classList.remove("showing");
    const old = this.#picture.querySelector("video");
    const video = document.createElement("video");
    video.muted = video.autoplay = video.playsInline = true;
    video.disableRemotePlayback = video.disablePictureInPicture = true;
    old.replaceWith(video);
    if (old.hasAttribute("src")) {
      old.pause();
      old.removeAttribute("src");
      old.load();
    }
  }
}

// Hurry when behind, seek when far behind or outside of what there is.
function chase(video, { buffered }) {
  if (!buffered.length) return;
  const start = buffered.start(buffered.length - 1), end = buffered.end(buffered.length - 1);
  const behind = end - video.currentTime;
  if (video.currentTime < start || behind > JUMP_S) {
    video.currentTime = Math.max(start, end - TARGET_S);
  } else {
    video.playbackRate = behind > 2 * TARGET_S ? Math.min(1.5, 1 + behind / 4) : behind > TARGET_S ? 1.05 : 1;
  }
}

function settled(buffer, act) {
  return new Promise((done, failed) => {
    buffer.addEventListener("updateend", done, { once: true });
    buffer.addEventListener("error", () => failed(new Error("The picture could not be decoded.")), { once: true });
    try {
      act();
    } catch (wrong) {
      failed(wrong);
    }
  });
}

function happens(target, name, signal) {
  return new Promise((done, failed) => {
    target.addEventListener(name, done, { once: true });
    signal.addEventListener("abort", () => failed(signal.reason), { once: true });
  });
}

function giveBack({ watch }) {
  // It may be gone already, and the page may be going: nobody waits for the answer.
  call(`/api/v1/watches/${encodeURIComponent(watch)}`, { method: "DELETE", keepalive: true }).catch(() => {});
}
