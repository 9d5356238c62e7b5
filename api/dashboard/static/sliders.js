// Shows the value of each slider as it moves, and asks for the figures when it is let go.
(() => {
  "use strict";

  document.querySelectorAll("[data-sliders]").forEach((form) => {
    form.querySelectorAll("[type=range]").forEach((slider) => {
      const output = form.querySelector(`output[for="${slider.id}"]`);
      const show = () => {
        output.textContent = `${slider.value} ${slider.dataset.unit}`;
      };
      // A browser that goes back puts the slider where it was.
      show();
      slider.addEventListener("input", show);
      slider.addEventListener("change", () => form.requestSubmit());
    });
  });
})();
