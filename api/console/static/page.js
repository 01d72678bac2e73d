/* Pages beside the board: a new critical alert pulls from here too, the watchdog watches here
   too, and forms that change something speak to the API (`forms.js`). */

import { Attention } from "./attention.js";
import { act } from "./actions.js";
import { data } from "./dom.js";
import "./forms.js";
import { Sound } from "./sound.js";
import { watch } from "./watch.js";
import { isOpen, offeredToMe } from "./words.js";

if (data.may.includes("see_alerts")) {
  const attention = new Attention(new Sound(() => {}), {
    take: async (alert) => {
      const after = await act(offeredToMe(alert) ? "take_over" : "acknowledge", alert);
      if (after) attention.follow(after);
    },
    show: (alert) => { location.href = `/alerts/${alert.id}`; },
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && attention.hush());
  watch({
    onChange: (alert, action) => {
      if (isOpen(alert)) attention.heard(alert, action);
      else attention.follow(alert);
    },
    onReload: () => {},
  });
}
