// Recordings: one plays at a time, a line on its spectrogram shows where; a click on the spectrogram goes there.
(() => {
  const players = [...document.querySelectorAll(".sound")];
  for (const player of players) {
    const audio = player.querySelector("audio"), picture = player.querySelector(".picture"), cursor = player.querySelector(".cursor");
    const move = () => {
      cursor.style.left = `${(100 * audio.currentTime) / (audio.duration || 1)}%`;
      if (!audio.paused) requestAnimationFrame(move);
    };
    audio.addEventListener("play", () => {
      for (const other of players) if (other !== player) other.querySelector("audio").pause();
      cursor.hidden = false;
      move();
    });
    audio.addEventListener("seeked", move);
    picture.addEventListener("click", (event) => {
      const box = picture.getBoundingClientRect();
      audio.currentTime = (audio.duration * (event.clientX - box.left)) / box.width;
      audio.play();
    });
  }
})();
