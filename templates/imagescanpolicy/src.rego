package imagescanpolicy

import data.lib.scanpolicy
import future.keywords

violation contains denial if some denial in scanpolicy.denials
